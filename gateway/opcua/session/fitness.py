"""What may be wrong with a certificate of a server, beside nobody trusting it (Part 4, 6.1.3).

Devices in the field have certificates with a blemish that nobody will mend: expired at the factory, made for another
name, too short.  Each such blemish has a name by which `security.accept` lets it pass, for a certificate that is
itself in `trusted`: then the person who put it there vouches for the device, and the certificate is no more than its
key.  Part 4 lets an administrator suppress validity, usage and key length; that the ApplicationUri may differ as well
goes beyond it, because the alternative in the field is no security at all.
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
    """Something that is wrong with a certificate."""

    name: str
    """What `security.accept` calls it."""
    reason: str
    """As `Rejected` has it."""
    text: str


def blemishes_of(leaf: x509.Certificate, uri: str, now: datetime) -> list[Blemish]:
    """Dates, name, usage and key of a server that calls itself `uri`."""
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
