"""`gateway emulate`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer


def emulate(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A name of `gateway profile list`, or a file.")],
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 18830,
    watch_port: Annotated[int, typer.Option(help="Port for `gateway watch`; 0: any free one.")] = 18831,
    device: Annotated[list[str] | None, typer.Option(help="A device that may connect (default: edge-1).")] = None,
    endpoint: Annotated[str | None, typer.Option(help="The host name that clients sign for.")] = None,
    product: Annotated[str, typer.Option(help="The product of the devices.")] = "emulated",
    clock: Annotated[float, typer.Option(help="Seconds that the cloud's clock is ahead.")] = 0.0,
    certificate: Annotated[Path | None, typer.Option(help="PEM file with certificate and key of the server.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the authority of client certificates.")] = None,
    token: Annotated[
        Path | None, typer.Option(help="Write a token for the device here, and renew it as a cluster does.")
    ] = None,
    scope: Annotated[str, typer.Option(help="Be Azure's provisioning service (DPS) for this ID scope as well.")] = "",
) -> None:
    """Be a cloud, on this machine: a broker that takes, throws away, delays and refuses as that cloud does.

    It checks logins by recomputing them, client ids, topics, sizes, rates and QoS, from the same table that the
    gateway keeps to. It prints the `broker` section for a gateway, and every two seconds what came. The key of the
    devices is in the environment variable DEVICE_KEY; without it a well-known one is used. Ctrl-C ends it.
    """

    from gateway.cli.emulate import emulate as work

    work(profile, port, watch_port, device, endpoint, product, clock, certificate, ca, token, scope)
