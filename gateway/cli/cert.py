"""`gateway cert`: who we are to OPC UA servers, and which of them we trust."""

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
    help="Certificates for OPC UA: our own, and whom we trust.",
    epilog=examples(
        "gateway cert show", "gateway cert list", "gateway cert trust 834d7314", "gateway cert trust s.der"
    ),
)

PkiOption = Annotated[Path, typer.Option("--pki", help="Folder of certificates, `security.pki` of a source.")]
PKI = Path("var/pki")


@cert.command()
def show(pki: PkiOption = PKI) -> None:
    """Show our own certificate, making it if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
    typer.echo(f"name         {common_name(identity.certificate)}")
    typer.echo(f"application  {identity.application_uri}")
    typer.echo(f"hosts        {', '.join(hosts_of(identity.certificate))}")
    typer.echo(f"thumbprint   {thumbprint(identity.certificate)}")
    typer.echo(f"valid until  {_day(expires_at(identity.certificate))}")
    typer.echo(f"file         {identity.certificate_path}  (give this to servers that must trust us)")


@cert.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put it.")],
    pki: PkiOption = PKI,
) -> None:
    """Put a copy of our own certificate, never of the key, into a file; made now if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
        with written(f"our certificate to {file}"):
            shutil.copyfile(identity.certificate_path, file)
    typer.echo(f"{common_name(identity.certificate)}, {thumbprint(identity.certificate)}: {file}")


@cert.command("list")
def show_all(pki: PkiOption = PKI) -> None:
    """List the certificates that are trusted, rejected, or known as issuers."""
    found = TrustStore(pki).listed()
    if not found:
        typer.echo(f"nobody is trusted or rejected in {pki} yet: a server that is met for the first time is rejected")
    for listed in found:
        until = _day(expires_at(listed.certificate))
        typer.echo(f"{listed.folder:9} {listed.thumbprint}  until {until}  {common_name(listed.certificate)}")


@cert.command()
def trust(
    which: Annotated[str, typer.Argument(metavar="THUMBPRINT|FILE", help="A rejected one (its beginning), or a file.")],
    pki: PkiOption = PKI,
) -> None:
    """Trust a certificate: one that was rejected, by thumbprint, or one in a file.

    A running gateway takes it up at its next attempt to connect.
    """
    with problems_told(), written(f"to {pki}"):
        listed = TrustStore(pki).trust(which)
    typer.echo(f"trusted: {common_name(listed.certificate)}, {listed.thumbprint}")


@cert.command()
def renew(pki: PkiOption = PKI) -> None:
    """Make a new key and certificate of our own; the old ones are kept as *.old.  Servers must trust it anew."""
    with problems_told(), written(f"a certificate to {pki}"):
        make_identity(pki, datetime.now(UTC))
    show(pki)


@contextmanager
def written(what: str) -> Iterator[None]:
    """Raises `ConfigError` when it cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError([f"cannot write {what}: {error.strerror or error}"], EXIT_CANNOT_WRITE) from error


def _day(timestamp_s: float) -> str:
    return datetime.fromtimestamp(timestamp_s, UTC).date().isoformat()
