"""`gateway run`, `validate`, `schema`, `version`."""

import asyncio
import json
import signal
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import FileArgument, LogFormat, LogOption, problems_told, until_stopped
from gateway.config import Config
from gateway.loading import load
from gateway.logs import set_up_logs
from gateway.payload.choose import FORMATS
from gateway.run import app

SCHEMAS: dict[str, Callable[[], dict[str, object]]] = {
    "config": Config.model_json_schema,
    **{name: form.schema for name, form in FORMATS.items()},
}


def run(file: FileArgument, log_format: LogOption = LogFormat.CONSOLE) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    SIGHUP takes the file as it is then; one with a mistake changes nothing.  Peers that are away are waited for, for
    ever.  Exit code 0 after a clean stop, 78 when the configuration cannot work.
    """
    set_up_logs(log_format.value)
    with problems_told():
        config = load(file)
        until_stopped(partial(_running, file, config))


async def _running(file: Path, config: Config, stop: asyncio.Event) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    await app.run(config, stop, reload=app.Reload(asked, partial(load, file)))


def validate(file: FileArgument) -> None:
    """Check a configuration without connecting to anything.

    Tells every mistake at once, each with file and line, what is wrong and what is allowed.  Exit code 78 if there is
    any.
    """
    with problems_told():
        config = load(file)
    names = ", ".join(source.name for source in config.sources)
    urls = ", ".join(broker.url for broker in config.all_brokers)
    typer.echo(f"{file} is fine: reads {names}, delivers to {urls}")


def schema(
    what: Annotated[str, typer.Argument(metavar="|".join(SCHEMAS), help="The configuration file, or a message.")],
) -> None:
    """Print a JSON Schema: of the configuration (for editors), or of a message."""
    if what not in SCHEMAS:
        typer.echo(f"gateway schema: no schema named {what!r}: there are {', '.join(SCHEMAS)}", err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(SCHEMAS[what](), indent=2))


def show_version() -> None:
    """Print the version."""
    typer.echo(version("connected-factory"))
