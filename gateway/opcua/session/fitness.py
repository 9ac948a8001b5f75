"""Faults of a server's certificate, apart from missing trust (Part 4, 6.1.3).

Devices in the field have certificates with faults that nobody will repair: expired at the factory, made for another
name, too short.  Each fault (`Blemish`) has a name, and `security.accept` accepts it for a certificate that is itself
in `trusted`: the person who put it there vouches for the device, and the certificate only serves as its key.  Part 4
lets an administrator suppress errors of validity, usage and key length.  Accepting another ApplicationUri goes beyond
that, because the alternative in the field is no security at all.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.opcua.session.certificates import UNREADABLE, application_uri_of, common_name

LEAST_BITS = 2048


@dataclass(frozen=True, slots=True)
class Blemish:
    """A fault of a certificate."""

    name: str
    """Its name in `security.accept`."""
    reason: str
    """The reason of `Rejected`."""
    text: str


ENCODING = Blemish(
    "encoding",
    "certificate_invalid",
    "its extensions are encoded as DER forbids (EncodedDefault), so the signature of the certificate cannot be checked",
)


def blemishes_of(leaf: x509.Certificate, uri: str, now: datetime) -> list[Blemish]:
    """The faults of dates, name, usage and key, for a server with the application URI `uri`."""
    found = [_date(leaf, now), _uri(leaf, uri), _usage(leaf), _key(leaf)]
    return [blemish for blemish in found if blemish is not None]


def is_in_date(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def dates_of(certificate: x509.Certificate) -> str:
    span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"the certificate of {common_name(certificate)!r} is valid from {span}"


def _date(leaf: x509.Certificate, now: datetime) -> Blemish | None:
    if is_in_date(leaf, now):
        return None
    clock = "; is the clock of this machine right?" if leaf.not_valid_before_utc > now else ""
    return Blemish("expired", "certificate_expired", f"{dates_of(leaf)}, and it is {now:%Y-%m-%d} here{clock}")


def _uri(leaf: x509.Certificate, uri: str) -> Blemish | None:
    shown = application_uri_of(leaf)
    if shown == uri:
        return None
    made_for = "says no name of an application" if shown is None else f"is for {shown!r}"
    return Blemish("uri", "certificate_uri", f"the server calls itself {uri!r} but its certificate {made_for}")


def _usage(leaf: x509.Certificate) -> Blemish | None:
    try:
        extensions = leaf.extensions
    except UNREADABLE:
        text = "what the server's certificate is made for cannot be read (its extensions)"
        return Blemish("usage", "certificate_usage", text)
    if _may_serve(extensions):
        return None
    return Blemish("usage", "certificate_usage", "the server's certificate is not made for servers (key usage)")


def _may_serve(extensions: x509.Extensions) -> bool:
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


def _key(leaf: x509.Certificate) -> Blemish | None:
    try:
        key = leaf.public_key()
        is_long = isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_BITS
        signed_with = leaf.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        is_long, signed_with = False, None
    if not is_long:
        return Blemish(
            "key_size", "certificate_weak", f"the server's certificate has no RSA key of {LEAST_BITS} bits or more"
        )
    if isinstance(signed_with, hashes.SHA1 | hashes.MD5):
        return Blemish("key_size", "certificate_weak", f"the server's certificate is signed with {signed_with.name}")
    return None
