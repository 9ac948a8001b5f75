"""`gateway init`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer


def _examples(incomplete: str) -> list[tuple[str, str]]:
    from gateway.shipped import about, examples

    return [(name, about(path)) for name, path in examples().items() if name.startswith(incomplete)]


def init(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The server, such as opc.tcp://192.0.2.10:4840.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write. [default: my-gateway.yaml]")
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=_examples, help="Write this example, as it comes with the program."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the examples that come with the program.")] = False,
    name: Annotated[str, typer.Option(help="Name of the gateway.")] = "edge-1",
    source: Annotated[str | None, typer.Option(help="Name of the server. [default: as it calls itself]")] = None,
    trust: Annotated[
        str | None, typer.Option(metavar="THUMBPRINT", help="Trust the server's certificate if it has this thumbprint.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Go on without encryption.")] = False,
    pki: Annotated[Path, typer.Option(envvar="GATEWAY_PKI", help="Folder of certificates.")] = Path("var/pki"),
    username: Annotated[str | None, typer.Option(help="User name at the server.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File that holds the password of it.")] = None,
    password_env: Annotated[str | None, typer.Option(help="Environment variable that holds it.")] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds to wait until the server trusts us. [default: on a terminal any time, else 0]"
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Read every variable.")] = False,
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="Read what is below this path; repeatable.")
    ] = None,
    variables: Annotated[list[str] | None, typer.Option("--variable", help="Read this path; repeatable.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Read all objects of this type; repeatable.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="The broker, such as mqtts://broker.example.")
    ] = None,
    broker_username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    broker_password_file: Annotated[Path | None, typer.Option(help="File that holds the password of it.")] = None,
    broker_password_env: Annotated[str | None, typer.Option(help="Environment variable that holds it.")] = None,
    broker_ca: Annotated[Path | None, typer.Option(help="PEM file with the authority of the broker.")] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="The topic, such as factory/{source}/{path}.")
    ] = None,
) -> None:
    """Write a configuration to begin with.

    With URL: connects, explains the server's certificate and asks to trust it, waits while the server does not trust
    ours, lets you choose from its tree, tries the broker, proposes topics with an example message, and writes a file
    with comments. Every question has an option, so that it also runs unattended. With `--example`: writes an example.
    Exit code 69 when server or broker are not reachable or refuse.
    """
    from gateway.cli.init import init as work

    work(
        url,
        output,
        force=force,
        example=example,
        listed=listed,
        name=name,
        source=source,
        trust=trust,
        insecure=insecure,
        pki=pki,
        username=username,
        password_file=password_file,
        password_env=password_env,
        wait=wait,
        everything=everything,
        objects=objects,
        variables=variables,
        types=types,
        broker=broker,
        broker_username=broker_username,
        broker_password_file=broker_password_file,
        broker_password_env=broker_password_env,
        broker_ca=broker_ca,
        topic=topic,
    )
