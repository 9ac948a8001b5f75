"""`gateway cert`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import examples

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

    from gateway.cli.cert import show as work

    work(pki)


@cert.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    pki: PkiOption = PKI,
) -> None:
    """Copy our own certificate, never the key, into a file. Creates it if there is none."""

    from gateway.cli.cert import export as work

    work(file, pki)


@cert.command("list")
def show_all(pki: PkiOption = PKI) -> None:
    """List the trusted and rejected certificates, and the known issuers."""

    from gateway.cli.cert import show_all as work

    work(pki)


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

    from gateway.cli.cert import trust as work

    work(which, pki)


@cert.command()
def reject(
    which: Annotated[
        str, typer.Argument(metavar="THUMBPRINT", help="Thumbprint of a rejected certificate, or its first digits.")
    ],
    pki: PkiOption = PKI,
) -> None:
    """Say that a rejected certificate is not to be trusted: it waits no longer. `trust` still trusts it."""

    from gateway.cli.cert import reject as work

    work(which, pki)


@cert.command()
def renew(pki: PkiOption = PKI) -> None:
    """Create a new key and certificate. The old ones are kept as *.old. Servers must trust the new one."""

    from gateway.cli.cert import renew as work

    work(pki)
