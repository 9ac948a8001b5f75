"""`gateway cert`: our own certificate for OPC UA, and the servers that we trust."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.cli.common import problems_told
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


def show(pki: Path) -> None:
    """Show our own certificate. Creates it if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
    typer.echo(f"name         {common_name(identity.certificate)}")
    typer.echo(f"application  {identity.application_uri}")
    typer.echo(f"hosts        {', '.join(hosts_of(identity.certificate))}")
    typer.echo(f"thumbprint   {thumbprint(identity.certificate)}")
    typer.echo(f"valid until  {_day(expires_at(identity.certificate))}")
    typer.echo(f"file         {identity.certificate_path}  (import it on servers that must trust us)")


def export(file: Path, pki: Path) -> None:
    """Copy our own certificate, never the key, into a file. Creates it if there is none."""
    with problems_told():
        identity = ensure_identity(pki)
        with written(f"our certificate to {file}"):
            shutil.copyfile(identity.certificate_path, file)
    typer.echo(f"{common_name(identity.certificate)}, {thumbprint(identity.certificate)}: {file}")


def show_all(pki: Path) -> None:
    """List the trusted and rejected certificates, and the known issuers."""
    found = TrustStore(pki).listed()
    if not found:
        typer.echo(f"{pki} has no trusted or rejected certificates yet; a server is rejected at the first connection")
    for listed in found:
        until = _day(expires_at(listed.certificate))
        typer.echo(f"{listed.folder:9} {listed.thumbprint}  until {until}  {common_name(listed.certificate)}")


def trust(which: str, pki: Path) -> None:
    """Trust a certificate: a rejected one by its thumbprint, or one from a file."""
    with problems_told(), written(f"to {pki}"):
        listed = TrustStore(pki).trust(which)
    typer.echo(f"trusted: {common_name(listed.certificate)}, {listed.thumbprint}")


def reject(which: str, pki: Path) -> None:
    """Say that a rejected certificate is not to be trusted: it waits no longer. `trust` still trusts it."""
    with problems_told(), written(f"to {pki}"):
        listed = TrustStore(pki).refuse(which)
    typer.echo(f"refused: {common_name(listed.certificate)}, {listed.thumbprint}")


def renew(pki: Path) -> None:
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
