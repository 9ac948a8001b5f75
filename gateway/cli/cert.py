"""`gateway cert`: our own certificate for OPC UA, and the servers that we trust."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import examples, problems_told
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError
from gateway.opcua.session.certificates import (
    common_name,
    ensure_identity,
    expires_at,
    hosts_of,
    make_identity,
    thumbprint,
)
from gateway.opcua.session.trust import TrustStore

cert = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Manage OPC UA certificates: our own, and those of the servers that we trust.",
    epilog=examples(
        "gateway cert show", "gateway cert list", "gateway cert trust 834d7314", "gateway cert trust s.der"
    ),
)

PkiOption = Annotated[
    Path, typer.Option("--pki", envvar="GATEWAY_PKI", help="Folder of certificates: `security.pki` of a source.")
]
PKI = Path("var/pki")


@cert.command()
def show(pki: PkiOption = PKI) -> None:
    """Show our own certificate. Creates it if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
    typer.echo(f"name         {common_name(identity.certificate)}")
    typer.echo(f"application  {identity.application_uri}")
    typer.echo(f"hosts        {', '.join(hosts_of(identity.certificate))}")
    typer.echo(f"thumbprint   {thumbprint(identity.certificate)}")
    typer.echo(f"valid until  {_day(expires_at(identity.certificate))}")
    typer.echo(f"file         {identity.certificate_path}  (import it on servers that must trust us)")


@cert.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    pki: PkiOption = PKI,
) -> None:
    """Copy our own certificate, never the key, into a file. Creates it if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
        with written(f"our certificate to {file}"):
            shutil.copyfile(identity.certificate_path, file)
    typer.echo(f"{common_name(identity.certificate)}, {thumbprint(identity.certificate)}: {file}")


@cert.command("list")
def show_all(pki: PkiOption = PKI) -> None:
    """List the trusted and rejected certificates, and the known issuers."""
    found = TrustStore(pki).listed()
    if not found:
        typer.echo(f"{pki} has no trusted or rejected certificates yet; a server is rejected at the first connection")
    for listed in found:
        until = _day(expires_at(listed.certificate))
        typer.echo(f"{listed.folder:9} {listed.thumbprint}  until {until}  {common_name(listed.certificate)}")


@cert.command()
def trust(
    which: Annotated[
        str,
        typer.Argument(
            metavar="THUMBPRINT|FILE", help="Thumbprint of a rejected certificate, or its first digits, or a file."
        ),
    ],
    pki: PkiOption = PKI,
) -> None:
    """Trust a certificate: a rejected one by its thumbprint, or one from a file.

    A running gateway uses it at its next connection attempt.
    """
    with problems_told(), written(f"to {pki}"):
        listed = TrustStore(pki).trust(which)
    typer.echo(f"trusted: {common_name(listed.certificate)}, {listed.thumbprint}")


@cert.command()
def reject(
    which: Annotated[
        str, typer.Argument(metavar="THUMBPRINT", help="Thumbprint of a rejected certificate, or its first digits.")
    ],
    pki: PkiOption = PKI,
) -> None:
    """Say that a rejected certificate is not to be trusted: it waits no longer. `trust` still trusts it."""
    with problems_told(), written(f"to {pki}"):
        listed = TrustStore(pki).refuse(which)
    typer.echo(f"refused: {common_name(listed.certificate)}, {listed.thumbprint}")


@cert.command()
def renew(pki: PkiOption = PKI) -> None:
    """Create a new key and certificate. The old ones are kept as *.old. Servers must trust the new one."""
    with problems_told(), written(f"a certificate to {pki}"):
        make_identity(pki, datetime.now(UTC))
    show(pki)


@contextmanager
def written(what: str) -> Iterator[None]:
    """Raises `ConfigError` when the file cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError([f"cannot write {what}: {error.strerror or error}"], EXIT_CANNOT_WRITE) from error


def _day(timestamp_s: float) -> str:
    return datetime.fromtimestamp(timestamp_s, UTC).date().isoformat()
