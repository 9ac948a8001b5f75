"""The commands `simulators test-server` and `simulators pki`: a server for tests, and certificates by command line."""

from pathlib import Path
from typing import Annotated

import typer

from simulators import options as o
from simulators.logs import LogFormat, set_up_logs

pki_app = typer.Typer(no_args_is_help=True, help="Certificates of the simulators: requests, trust, revocation.")
Pki = Annotated[Path, typer.Option(help="The folder with our certificate, and those we trust.")]
File = Annotated[Path, typer.Argument(help="A certificate or revocation list, DER or PEM.", metavar="FILE")]


def trial_command(
    file: Annotated[
        Path | None, typer.Argument(help="What it has (YAML); default: everything.", metavar="[FILE]")
    ] = None,
    *,
    endpoint: Annotated[
        str, typer.Option(help="Address to listen on; port 0: any free one.")
    ] = "opc.tcp://127.0.0.1:50000",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random values.")] = 1,
    security: Annotated[list[str] | None, typer.Option(help="As for `serve`; repeatable.")] = None,
    pki: Pki = o.PKI,
    users: Annotated[Path | None, typer.Option(help="Users, passwords and roles, as for `serve`.")] = None,
    anonymous: Annotated[bool | None, typer.Option(help="Accept clients without a user name.")] = None,
    published_nodes: Annotated[
        Path | None, typer.Option(help="Write a published_nodes.json for OPC Publisher.")
    ] = None,
    gateway_config: Annotated[Path | None, typer.Option(help="Write a configuration for `gateway run`.")] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log: console or json.")] = "console",
) -> None:
    """Serve nodes to test OPC UA clients with: slow, fast, shapes, odd ids, structures, large values, files of nodes.

    Example: `simulators test-server --security None --published-nodes published_nodes.json`
    """
    import asyncio

    from simulators.server.endpoint import access_for, listening_at
    from simulators.server.pki import observers_of, users_of
    from simulators.trial import load_trial
    from simulators.trial_server import TrialSettings, serve_trial

    set_up_logs(log_format)
    settings = TrialSettings(
        load_trial(file), str(listening_at(endpoint)),
        access_for(security or (), pki, users_of(users), anonymous, observers_of(users)),
        seed, published_nodes, gateway_config,
    )  # fmt: skip
    asyncio.run(serve_trial(settings))


@pki_app.command("show")
def show(pki: Pki = o.PKI) -> None:
    """Print what is in the folder: our certificate, trusted and rejected ones, by thumbprint and subject."""
    from simulators.server import certificates
    from simulators.server.endpoint import APPLICATION_URI
    from simulators.server.pki import own_certificate

    own, _ = own_certificate(pki, APPLICATION_URI)
    for kind, paths in (("own", [own]), *((n, sorted((pki / n).rglob("*.*"))) for n in ("trusted", "rejected"))):
        for path in paths:
            certificate = certificates.read_certificate(path)
            print(f"{kind} {certificates.fingerprint(certificate)} {certificate.subject.rfc4514_string()}")


@pki_app.command("request")
def request(pki: Pki = o.PKI) -> None:
    """Write a signing request for our key (own.csr), for an authority."""
    from simulators.server import certificates
    from simulators.server.endpoint import APPLICATION_URI

    print(certificates.request(pki, APPLICATION_URI))


@pki_app.command("install")
def install(file: File, pki: Pki = o.PKI) -> None:
    """Take the certificate that an authority made from our request."""
    from simulators.server import certificates

    print(certificates.install(pki, file))


@pki_app.command("trust")
def trust(file: File, pki: Pki = o.PKI) -> None:
    """Let a client connect, or all clients of an authority."""
    from simulators.server import certificates

    print(certificates.trust(pki, file))


@pki_app.command("revoke")
def revoke(file: File, pki: Pki = o.PKI) -> None:
    """Do not let a trusted certificate connect any more."""
    from simulators.server import certificates

    print(certificates.revoke(pki, file))


@pki_app.command("crl")
def crl(file: File, pki: Pki = o.PKI) -> None:
    """Take the revocation list of a trusted authority."""
    from simulators.server import certificates

    print(certificates.revocation_list(pki, file))
