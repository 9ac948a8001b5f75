"""Whom we trust: a folder of certificates that people can look at and change while we run.

    trusted/   certificates of servers, or of issuers, that are trusted
    issuers/   issuers that only complete chains; not trusted by themselves
    crl/       revocation lists of issuers
    rejected/  what a server showed and nobody trusts: `gateway cert trust` moves it

A server is trusted when its own certificate is in `trusted`, or when a chain of issuers leads to one that is; no link
may be out of date, revoked, or unfit for its use (Part 4, 6.1.3).  The folder is read at every connect.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.errors import ConfigError, Rejected
from gateway.opcua.session.certificates import application_uri_of, common_name, hosts_of, load, split_chain, thumbprint

FOLDERS = ("trusted", "issuers", "rejected")
MOST_REJECTED = 50
"""Older ones are removed: a server that shows a new certificate at every connect must not fill the disk."""
LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Listed:
    """One certificate of the store."""

    folder: str
    path: Path
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """A folder of certificates."""

    folder: Path

    def check(self, der: bytes, uri: str, host: str | None, now: datetime) -> x509.Certificate:
        """The server's certificate, when it may be trusted.

        `uri` is what the server calls itself, `host` where we found it (None: any will do).  Raises
        `Rejected(reason, …)`; an unknown certificate is saved to `rejected` first.
        """
        chain = _certificates(split_chain(der) or [der])
        if not chain:
            raise Rejected("certificate_invalid", "the server shows no certificate that could be read")
        leaf = chain[0]
        _fit_for_server(leaf, uri, now)
        trusted = [listed.certificate for listed in self.listed("trusted")]
        issuers = [*(listed.certificate for listed in self.listed("issuers")), *chain[1:]]
        pinned = leaf in trusted
        path = _chain(leaf, [*trusted, *issuers], now)
        if not pinned and not any(issuer in trusted for issuer in path):
            raise Rejected("certificate_untrusted", self._refusal(leaf))
        for certificate, issuer in zip([leaf, *path], path, strict=False):
            _not_revoked(certificate, issuer, self._revocation_lists(), now)
        if not pinned and host is not None and host.lower() not in (name.lower() for name in hosts_of(leaf)):
            names = ", ".join(hosts_of(leaf)) or "nobody"
            raise Rejected("certificate_host", f"the server's certificate is for {names}, not for {host}")
        return leaf

    def listed(self, *folders: str) -> list[Listed]:
        """What is in these folders (default: all); files that are no certificates are passed over."""
        found = []
        for folder in folders or FOLDERS:
            for path in sorted((self.folder / folder).glob("*")):
                try:
                    found.append(Listed(folder, path, load(path.read_bytes())))
                except (OSError, ValueError):
                    continue
        return found

    def trust(self, which: str) -> Listed:
        """Move the rejected certificate with this thumbprint (or its beginning), or the file `which`, to `trusted`.

        Raises `ConfigError` when there is none, or more than one, or the file is no certificate.
        """
        if Path(which).is_file():
            return self._save("trusted", _certificate_in(Path(which)))
        wanted = which.lower().replace(":", "").replace(" ", "")
        found = [listed for listed in self.listed("rejected") if wanted and listed.thumbprint.startswith(wanted)]
        if len(found) != 1:
            count = "none" if not found else "several"
            raise ConfigError(
                [f"{which} is no file, and {count} of the rejected certificates begin so: see gateway cert list"]
            )
        listed = self._save("trusted", found[0].certificate)
        found[0].path.unlink()
        return listed

    @property
    def _elsewhere(self) -> str:
        """The option that a command needs to find this folder."""
        return "" if self.folder == Path("var/pki") else f" --pki {self.folder}"

    def _refusal(self, leaf: x509.Certificate) -> str:
        saved = self._save("rejected", leaf)
        self._forget_old()
        return (
            f"nobody has said that the certificate of {common_name(leaf)!r} ({application_uri_of(leaf)}) may be "
            f"trusted; it is saved as {saved.path}; to trust it: gateway cert trust {saved.thumbprint}{self._elsewhere}"
        )

    def _save(self, folder: str, certificate: x509.Certificate) -> Listed:
        name = re.sub(r"[^A-Za-z0-9._@-]+", "_", common_name(certificate))[:60]
        path = self.folder / folder / f"{name}_{thumbprint(certificate)}.der"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        os.replace(fresh, path)
        return Listed(folder, path, certificate)

    def _forget_old(self) -> None:
        files = sorted((self.folder / "rejected").glob("*.der"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_REJECTED]:
            path.unlink(missing_ok=True)

    def _revocation_lists(self) -> list[x509.CertificateRevocationList]:
        lists = []
        for path in sorted((self.folder / "crl").glob("*")):
            try:
                data = path.read_bytes()
                is_text = data.lstrip().startswith(b"-----")
                lists.append(x509.load_pem_x509_crl(data) if is_text else x509.load_der_x509_crl(data))
            except (OSError, ValueError):
                continue
        return lists


def _certificates(ders: Iterable[bytes]) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(der) for der in ders]
    except ValueError:
        return []


def _fit_for_server(leaf: x509.Certificate, uri: str, now: datetime) -> None:
    """Dates, name, key and usage (Part 4, table 100)."""
    _in_date(leaf, now)
    if application_uri_of(leaf) != uri:
        detail = f"the server calls itself {uri!r} but its certificate is for {application_uri_of(leaf)!r}"
        raise Rejected("certificate_uri", detail)
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise Rejected("certificate_weak", "the server's certificate has no RSA key of 2048 bits or more")
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        raise Rejected(
            "certificate_weak", f"the server's certificate is signed with {leaf.signature_hash_algorithm.name}"
        )
    if not _may_serve(leaf):
        raise Rejected("certificate_usage", "the server's certificate is not made for servers (key usage)")


def _may_serve(leaf: x509.Certificate) -> bool:
    extensions = leaf.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature and usage.key_encipherment):
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        return ExtendedKeyUsageOID.SERVER_AUTH in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True


def _in_date(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise Rejected("certificate_expired", f"the certificate of {common_name(certificate)!r} is valid from {span}")


def _chain(leaf: x509.Certificate, known: Sequence[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """The issuers from `leaf` upwards as far as they are known; each signed the one before and is an authority."""
    path: list[x509.Certificate] = []
    current = leaf
    while current.issuer != current.subject and len(path) < LONGEST_CHAIN:
        signer = next((c for c in known if c not in path and _signed(current, c)), None)
        if signer is None:
            break
        _in_date(signer, now)
        path.append(signer)
        current = signer
    return path


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject or not _is_authority(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _not_revoked(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    lists: Sequence[x509.CertificateRevocationList],
    now: datetime,
) -> None:
    """A list counts when its issuer signed it; one that is out of date cannot say that somebody is not revoked."""
    for revoked in lists:
        key = issuer.public_key()
        if revoked.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey):
            continue
        if not revoked.is_signature_valid(key):
            raise Rejected("certificate_crl", f"a revocation list of {common_name(issuer)!r} has a wrong signature")
        if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise Rejected("certificate_revoked", f"the certificate of {common_name(certificate)!r} is revoked")
        if revoked.next_update_utc is not None and revoked.next_update_utc < now:
            raise Rejected("certificate_crl", f"the revocation list of {common_name(issuer)!r} is out of date")


def _certificate_in(path: Path) -> x509.Certificate:
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path} is no certificate (DER or PEM)"]) from error
