"""`gateway run`, `validate`, `schema`, `version`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import FileArgument, LogFormat, LogOption


def run(
    file: FileArgument,
    log_format: LogOption = LogFormat.CONSOLE,
    member: Annotated[
        str | None, typer.Option(help="Name of this member of the group, where several run on one host.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    SIGHUP reloads the configuration file; a file with mistakes changes nothing. The gateway waits for servers and
    brokers that are away, for any time. A file with `configuration.from` says where the configuration is pulled
    from. Exit code 0 after a clean stop, 78 when the configuration has mistakes.
    """

    from gateway.cli.running import run as work

    work(file, log_format, member)


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Configuration files, one per gateway.")],
    look: Annotated[
        bool, typer.Option("--files/--no-files", help="Also check the secrets, keys and folders on this machine.")
    ] = True,
) -> None:
    """Check configuration files without connecting to anything.

    Reports all mistakes at once, each with file, line, what is wrong and what is allowed. Secrets, keys, certificate
    authorities and folders must exist and be usable, unless `--no-files` is given. Also says why each file with a
    secret may be used, and warns of settings that are probably not intended, and of gateways with the same client id,
    name or folder. Exit code 78 if there is a mistake.
    """

    from gateway.cli.validating import validate as work

    work(files, look)


def schema(
    what: Annotated[
        str,
        typer.Argument(
            metavar="config|command|api|FORMAT",
            help="What it describes: the configuration, or messages; FORMAT as in payload.format, such as json.",
        ),
    ],
) -> None:
    """Print a JSON Schema: of the configuration (for editors), or of the messages of a format.

    `api` prints the OpenAPI document of the live page's API.
    """

    from gateway.cli.validating import schema as work

    work(what)
