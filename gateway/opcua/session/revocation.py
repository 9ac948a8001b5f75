"""Revoked certificates: the lists in `crl/`, each signed by its issuer (RFC 5280, 6.3).

In doubt a certificate is refused: an unreadable list may be that of any issuer, a list with a wrong signature may have
been emptied, and an outdated list cannot prove that a certificate is not revoked.  Only a missing list is a matter of
configuration, because the authorities of many plants issue none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.errors import Rejected
from gateway.opcua.session.certificates import common_name

CRL = "certificate_crl"


@dataclass(frozen=True, slots=True)
class Lists:
    """The revocation lists of a store."""

    folder: Path
    lists: Sequence[x509.CertificateRevocationList]
    unreadable: Sequence[str]
    """Unreadable files, each with the reason."""
    is_required: bool
    """Whether certificates of an issuer without a list are refused."""

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
        """Raises `Rejected` when the issuer has revoked the certificate, or when that is unknown."""
        if self.unreadable:
            raise Rejected(CRL, f"nobody can tell who is revoked: {'; '.join(self.unreadable)}")
        name = common_name(issuer)
        own = [each for each in self.lists if each.issuer == issuer.subject]
        if not own:
            if self.is_required:
                text = f"there is no revocation list of {name!r} in {self.folder} (security.missing_crl: refuse)"
                raise Rejected(CRL, text)
            return
        for each in own:
            if not _is_signed(each, issuer):
                raise Rejected(CRL, f"a revocation list of {name!r} has a wrong signature")
            if each.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise Rejected("certificate_revoked", f"the certificate of {common_name(certificate)!r} is revoked")
        if not any(each.next_update_utc is None or each.next_update_utc >= now for each in own):
            raise Rejected(CRL, f"the revocation list of {name!r} is out of date")


def read_lists(folder: Path, *, is_required: bool) -> Lists:
    """The lists in a folder, which may be missing.  Raises `OSError` when it cannot be read."""
    lists, unreadable = list[x509.CertificateRevocationList](), list[str]()
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        paths = []
    for path in paths:
        try:
            if path.exists() and not path.is_file():  # reading a FIFO would wait for ever
                raise ValueError("not a file")
            lists.append(_load(path.read_bytes()))
        except OSError as error:
            unreadable.append(f"{path} cannot be read: {error.strerror or error}")
        except ValueError:
            unreadable.append(f"{path} is no revocation list (DER or PEM)")
    return Lists(folder, lists, unreadable, is_required)


def _load(data: bytes) -> x509.CertificateRevocationList:
    """A list from DER or PEM.  Raises `ValueError`, also if only a part of it can be read."""
    is_text = data.lstrip().startswith(b"-----")
    found = x509.load_pem_x509_crl(data) if is_text else x509.load_der_x509_crl(data)
    for entry in found:
        entry.serial_number  # noqa: B018 - what is read late must not fail late
    return found


def _is_signed(revoked: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether the issuer signed the list, with any kind of key (RSA, elliptic curves)."""
    try:
        return revoked.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other kinds are refused
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
