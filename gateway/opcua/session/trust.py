"""The trust store: a folder of certificates that people can inspect and change while the gateway runs.

    trusted/   trusted certificates of servers or issuers, also in subfolders, one for each writer
    issuers/   issuers that only complete chains; not trusted by themselves
    crl/       revocation lists of issuers
    rejected/  refused certificates of servers: `gateway cert trust` moves them
    refused/   those of which a person has said that they are not to be trusted: they wait no longer

A server is trusted when its own certificate is in `trusted` (it is pinned), or when a chain of issuers leads to one
that is.  No certificate of the chain may be expired, revoked, or unsuitable for its use (Part 4, 6.1.3), except as
`fitness.py` allows.  The folder is read at every connect.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from gateway.config.private_files import must_be_file
from gateway.errors import ConfigError, Rejected
from gateway.opcua.session.certificates import (
    UNREADABLE,
    application_uri_of,
    common_name,
    first_of_chain,
    hosts_of,
    load,
    readable,
    split_chain,
)
from gateway.opcua.session.fitness import ENCODING, Blemish, blemishes_of, dates_of, is_in_date
from gateway.opcua.session.revocation import CRL, read_lists

FOLDERS = ("trusted", "issuers", "rejected", "refused")
MOST_REJECTED = 50
"""The largest number of rejected certificates; older ones are removed, so that no server can fill the disk."""
LONGEST_CHAIN = 8
MOST_UNREADABLE = 65_536
"""How many bytes of an unreadable certificate are kept."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One certificate of the store."""

    folder: str
    path: Path
    certificate: x509.Certificate
    der: bytes
    """As the server shows it; the certificate itself may be mended (`certificates.readable`)."""

    @property
    def thumbprint(self) -> str:
        return _thumbprint(self.der)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """A folder of certificates."""

    folder: Path

    def check(
        self,
        der: bytes,
        uri: str,
        host: str | None,
        now: datetime,
        *,
        accept: Collection[str] = (),
        needs_crl: bool = False,
    ) -> tuple[x509.Certificate, list[Blemish]]:
        """The server's certificate, if it is trusted, and its accepted faults.

        `uri` is the server's application URI, `host` the host in our URL (None: not checked), `accept` the faults that
        are accepted in a certificate in `trusted`.  With `needs_crl`, issuers without a revocation list are not
        trusted.  Raises `Rejected(reason, …)`; a refused certificate is saved to `rejected`.  Raises `OSError` when the
        folder cannot be read.
        """
        try:
            first, *others = split_chain(der) or [der]
            leaf, is_mended = readable(first)
            chain = [leaf, *(x509.load_der_x509_certificate(each) for each in others)]
        except ValueError as error:
            raise Rejected("certificate_invalid", self._unreadable(der, error)) from error
        try:
            return leaf, self._judged(chain, uri, host, now, accept=accept, needs_crl=needs_crl, is_mended=is_mended)
        except Rejected as refusal:
            raise Rejected(refusal.reason, self._kept(leaf, first, refusal.reason, str(refusal))) from refusal

    def _judged(
        self,
        chain: Sequence[x509.Certificate],
        uri: str,
        host: str | None,
        now: datetime,
        *,
        accept: Collection[str],
        needs_crl: bool,
        is_mended: bool,
    ) -> list[Blemish]:
        leaf = chain[0]
        trusted = [listed.certificate for listed in self.listed("trusted")]
        issuers = [*(listed.certificate for listed in self.listed("issuers")), *chain[1:]]
        pinned, found = leaf in trusted, [*([ENCODING] if is_mended else []), *blemishes_of(leaf, uri, now)]
        path = _chain(leaf, [*trusted, *issuers], is_mended=is_mended)
        vouched = not is_mended and any(issuer in trusted for issuer in path)
        if not pinned and not vouched:
            raise Rejected("certificate_untrusted", _untrusted(leaf, path, found))
        refused = [each for each in found if not pinned or each.name not in accept]
        if refused:
            raise Rejected(refused[0].reason, _blemished(refused, [each.name for each in found]))
        lists = read_lists(self.folder / "crl", is_required=needs_crl)
        for certificate, issuer in zip([leaf, *path], path, strict=False):
            if not is_in_date(issuer, now):
                raise Rejected("certificate_expired", dates_of(issuer))
            lists.check(certificate, issuer, now)
        if not pinned and host is not None and host.lower() not in (name.lower() for name in hosts_of(leaf)):
            names = ", ".join(hosts_of(leaf)) or "nobody"
            raise Rejected("certificate_host", f"the server's certificate is for {names}, not for {host}")
        return found

    def listed(self, *folders: str) -> list[Listed]:
        """The certificates in these folders (default: all).  Other files are ignored."""
        found = []
        for folder in folders or FOLDERS:
            for path in sorted((self.folder / folder).rglob("*")):
                if not path.is_file():  # reading a FIFO would wait for ever
                    continue
                try:
                    found.append(Listed(folder, path, *_read(path.read_bytes())))
                except (OSError, ValueError):
                    continue
        return found

    def trust(self, which: str) -> Listed:
        """Move the rejected certificate with this thumbprint (or its first digits), or the file `which`, to `trusted`.

        Raises `ConfigError` when there is none, there are several, or the file is not a certificate.
        """
        if Path(which).is_file():
            return self._save("trusted", *_certificate_in(Path(which)))
        return self._moved(self._one_of(which, "rejected", "refused"), "trusted")

    def refuse(self, which: str) -> Listed:
        """Move the rejected certificate with this thumbprint (or its first digits) to `refused`.

        Raises `ConfigError` when there is none, or there are several.
        """
        return self._moved(self._one_of(which, "rejected"), "refused")

    def _one_of(self, which: str, *folders: str) -> Listed:
        wanted = which.lower().replace(":", "").replace(" ", "")
        found = [listed for listed in self.listed(*folders) if wanted and listed.thumbprint.startswith(wanted)]
        if len(found) != 1:
            count = "none" if not found else "several"
            raise ConfigError(
                [f"{which} is not a file, and {count} rejected certificates begin with it: see gateway cert list"]
            )
        return found[0]

    def _moved(self, listed: Listed, folder: str) -> Listed:
        moved = self._save(folder, listed.certificate, listed.der)
        listed.path.unlink()
        return moved

    @property
    def _elsewhere(self) -> str:
        """The option with which a command finds this folder."""
        return "" if self.folder == Path("var/pki") else f" --pki {self.folder}"

    def _kept(self, leaf: x509.Certificate, der: bytes, reason: str, why: str) -> str:
        """Save a refused certificate for review, unless it is in `trusted`.  Returns `why` with the remedy."""
        name = f"{common_name(leaf)!r} ({application_uri_of(leaf)})"
        if any(leaf == listed.certificate for listed in self.listed("trusted")):
            return why
        if any(leaf == listed.certificate for listed in self.listed("refused")):
            here = f"gateway cert trust {_thumbprint(der)}{self._elsewhere}"
            return f"{why}; somebody has refused the certificate of {name}; to trust it all the same: {here}"
        saved = self._save("rejected", leaf, der)
        self._forget_old()
        kept = f"{why}; the certificate of {name} is saved as {saved.path}"
        if reason in ("certificate_revoked", CRL):
            return kept  # nobody should trust that now
        return f"{kept}; to trust it: gateway cert trust {saved.thumbprint}{self._elsewhere}"

    def _unreadable(self, der: bytes, error: ValueError) -> str:
        """Save an unreadable certificate too: a person may have to show it to the vendor."""
        if not der:
            return "the server shows no certificate"
        if der[:1] != b"\x30" or b"\x30" not in der[2:5]:  # a SEQUENCE in a SEQUENCE: that much is sure
            return "the server shows what is no certificate"
        path = self.folder / "rejected" / f"unreadable_{_thumbprint(der)}.der"
        _write(path, der[:MOST_UNREADABLE])
        self._forget_old()
        return f"the server shows no certificate that could be read ({error}); it is saved as {path}"

    def _save(self, folder: str, certificate: x509.Certificate, der: bytes) -> Listed:
        name = re.sub(r"[^A-Za-z0-9._@-]+", "_", common_name(certificate))[:60]
        path = self.folder / folder / f"{name}_{_thumbprint(der)}.der"
        _write(path, der)
        return Listed(folder, path, certificate, der)

    def _forget_old(self) -> None:
        files = sorted((self.folder / "rejected").glob("*.der"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_REJECTED]:
            path.unlink(missing_ok=True)


def _untrusted(leaf: x509.Certificate, path: Sequence[x509.Certificate], found: Sequence[Blemish]) -> str:
    """Why the certificate is not trusted, and its other faults."""
    top = path[-1] if path else leaf
    if top.issuer != top.subject:
        why = (
            f"the issuer of {common_name(top)!r}, {top.issuer.rfc4514_string()!r}, is not known: put it into issuers "
            "(or into trusted, if all that it vouches for may be trusted)"
        )
        why = f"nobody has said that it may be trusted, and {why}"
    else:
        why = "nobody has said that it may be trusted"
    if not found:
        return why
    return f"{why}; besides, {'; '.join(each.text for each in found)} ({_accepting([each.name for each in found])})"


def _blemished(refused: Sequence[Blemish], names: Sequence[str]) -> str:
    return (
        f"{'; '.join(each.text for each in refused)}; to accept that of a certificate in trusted: {_accepting(names)}"
    )


def _accepting(names: Sequence[str]) -> str:
    return f"security.accept: [{', '.join(dict.fromkeys(names))}]"


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, even with other writers at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(fresh, 0o644)
    os.replace(fresh, path)


def _chain(leaf: x509.Certificate, known: Sequence[x509.Certificate], *, is_mended: bool) -> list[x509.Certificate]:
    """The known issuers of `leaf`, upwards.  Each one signed the certificate before it and is an authority.

    The signature of a mended leaf cannot be checked: its issuer is the one that it names, whose lists may revoke it.
    """
    path: list[x509.Certificate] = []
    current = leaf
    while current.issuer != current.subject and len(path) < LONGEST_CHAIN:
        unchecked = is_mended and current is leaf
        signer = next((c for c in known if c not in path and _signed(current, c, unchecked=unchecked)), None)
        if signer is None:
            break
        path.append(signer)
        current = signer
    return path


def _signed(certificate: x509.Certificate, issuer: x509.Certificate, *, unchecked: bool) -> bool:
    if certificate.issuer != issuer.subject or not _is_authority(issuer):
        return False
    if unchecked:
        return True
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def _read(data: bytes) -> tuple[x509.Certificate, bytes]:
    """A certificate from DER or PEM, and its DER form.  Raises `ValueError`."""
    if data.lstrip().startswith(b"-----"):
        certificate = load(data)
        return certificate, certificate.public_bytes(serialization.Encoding.DER)
    return readable(data)[0], first_of_chain(data)


def _thumbprint(der: bytes) -> str:
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _certificate_in(path: Path) -> tuple[x509.Certificate, bytes]:
    try:
        must_be_file(path, "a certificate")
        return _read(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path} is not a certificate (DER or PEM)"]) from error
