"""`gateway profile`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import FileArgument, examples

profile = typer.Typer(
    no_args_is_help=True,
    help="What clouds and brokers accept, each limit with its source, and whether a configuration keeps to it.",
    epilog=examples(
        "gateway profile list",
        "gateway profile show aws-iot-core",
        "gateway profile show my-cloud.yaml --json",
        "gateway profile check my-gateway.yaml --tags 1200",
        "gateway profile check my-gateway.yaml --plan",
        "gateway profile enroll my-gateway.yaml",
    ),
)

CHECKS = ("gateway profile check my-gateway.yaml --tags 1200", "gateway profile check my-gateway.yaml --plan")

NameArgument = Annotated[str, typer.Argument(metavar="PROFILE", help="A name of `gateway profile list`, or a file.")]


@profile.command("list", epilog=examples("gateway profile list"))
def list_() -> None:
    """Print the profiles that come with the gateway."""

    from gateway.cli.profile import list_ as work

    work()


@profile.command(epilog=examples("gateway profile show azure-iot-hub", "gateway profile show my-cloud.yaml --json"))
def show(
    name: NameArgument, as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON.")] = False
) -> None:
    """Print a profile: every limit with its source and the date it was read there."""

    from gateway.cli.profile import show as work

    work(name, as_json)


@profile.command(epilog=examples(*CHECKS))
def check(
    file: FileArgument,
    plan: Annotated[bool, typer.Option("--plan", help="Connect to the OPC UA servers and count variables.")] = False,
    tags: Annotated[
        int, typer.Option(min=0, help="Variables to assume for each selection that only the server can count.")
    ] = 0,
) -> None:
    """Check a configuration against the profiles of its brokers, without connecting to a cloud.

    Topics, client ids, keep-alive, versions, TLS and logins from the file alone; messages and bytes per second, sizes,
    messages per day and list prices from the numbers of variables: those that the file names, those of the servers
    (`--plan`), or assumed ones (`--tags`). Exit code 1 when a cloud takes less than this makes, 78 when the
    configuration has mistakes.
    """

    from gateway.cli.profile import check as work

    work(file, plan, tags)


@profile.command(epilog=examples("gateway profile enroll my-gateway.yaml --broker aws"))
def enroll(
    file: FileArgument,
    name: Annotated[str, typer.Option("--broker", help="Which broker (default: the first with a profile).")] = "",
    folder: Annotated[Path, typer.Option(help="Where key and request go.")] = Path("certs"),
) -> None:
    """Write a key and a certificate request for this gateway, and print what the cloud's console needs to know.

    For AWS a policy with the least rights, for Event Grid client, topic space and permission, for IoT Hub and IoTDA the
    device. Calls nothing. A key that is there stays.
    """

    from gateway.cli.profile import enroll as work

    work(file, name, folder)
