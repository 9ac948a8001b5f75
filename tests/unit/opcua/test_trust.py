"""Certificates: who is trusted, and why not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import ConfigError, Rejected
from gateway.opcua.session.certificates import (
    application_uri_of,
    ensure_identity,
    load,
    make_identity,
    self_signed,
    thumbprint,
)
from gateway.opcua.session.trust import MOST_REJECTED, TrustStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
URI = "urn:tests:server"


@cache
def key(which: str = "server", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def server(**changes: object) -> x509.Certificate:
    made: dict[str, object] = {"uri": URI, "hosts": ["plc.local"], "now": NOW, "days": 100} | changes
    return self_signed(key(), "server", **made)  # type: ignore[arg-type]  # the table above is right


def issuer(left: timedelta = timedelta(days=100)) -> x509.Certificate:
    return _issued(name("factory CA"), key("ca"), NOW + left, lambda b: b.add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True))  # fmt: skip


def issued(*usages: x509.ObjectIdentifier) -> x509.Certificate:
    """A server's certificate signed by `issuer()`."""

    def extend(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        names = [x509.UniformResourceIdentifier(URI), x509.DNSName("plc.local")]
        usage = x509.ExtendedKeyUsage(usages or (ExtendedKeyUsageOID.SERVER_AUTH,))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.add_extension(usage, critical=False)

    return _issued(name("server"), key(), NOW + timedelta(days=100), extend)


Extend = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


def _issued(subject: x509.Name, own: rsa.RSAPrivateKey, until: datetime, extend: Extend) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name("factory CA"))
    builder = builder.public_key(own.public_key()).serial_number(4711).not_valid_before(NOW - timedelta(days=1))
    return extend(builder.not_valid_after(until)).sign(key("ca"), hashes.SHA256())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def put(folder: Path, certificate: x509.Certificate) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{thumbprint(certificate)}.der").write_bytes(der(certificate))


def refusal(store: TrustStore, shown: bytes, uri: str = URI, host: str | None = "plc.local") -> str:
    with pytest.raises(Rejected) as caught:
        store.check(shown, uri, host, NOW)
    return caught.value.reason


def test_empty_store_refuses_everybody(tmp_path: Path) -> None:
    assert refusal(TrustStore(tmp_path), der(server())) == "certificate_untrusted"


def test_rejected_certificate_can_be_trusted_by_the_beginning_of_its_thumbprint(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    refusal(store, der(server()))
    [rejected] = store.listed("rejected")
    store.trust(rejected.thumbprint[:8].upper())
    assert store.check(der(rejected.certificate), URI, "elsewhere", NOW) == rejected.certificate
    assert store.listed("rejected") == []


def test_trusting_what_nobody_showed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none"):
        TrustStore(tmp_path).trust("abcd")


@pytest.mark.parametrize(
    ("changes", "uri", "reason"),
    [
        ({"now": NOW - timedelta(days=9), "days": 8}, URI, "certificate_expired"),
        ({"now": NOW + timedelta(days=2)}, URI, "certificate_expired"),
        ({}, "urn:another", "certificate_uri"),
    ],
)
def test_trusted_certificate_must_still_be_fit(
    tmp_path: Path, changes: dict[str, object], uri: str, reason: str
) -> None:
    certificate = server(**changes)
    put(tmp_path / "trusted", certificate)
    assert refusal(TrustStore(tmp_path), der(certificate), uri) == reason


def test_short_key_is_refused(tmp_path: Path) -> None:
    weak = self_signed(key("weak", 1024), "server", URI, ["plc.local"], now=NOW, days=100)
    put(tmp_path / "trusted", weak)
    assert refusal(TrustStore(tmp_path), der(weak)) == "certificate_weak"


def test_certificate_made_for_clients_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer())
    shown = issued(ExtendedKeyUsageOID.CLIENT_AUTH)
    assert refusal(TrustStore(tmp_path), der(shown)) == "certificate_usage"


def test_trusted_issuer_vouches_for_its_servers_under_their_host_name(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer())
    store = TrustStore(tmp_path)
    shown = issued()
    assert store.check(der(shown), URI, "PLC.local", NOW) == shown
    assert refusal(store, der(issued()), host="other.local") == "certificate_host"


def test_issuer_that_only_completes_chains_is_no_trust(tmp_path: Path) -> None:
    put(tmp_path / "issuers", issuer())
    assert refusal(TrustStore(tmp_path), der(issued()) + der(issuer())) == "certificate_untrusted"


def test_expired_issuer_vouches_for_nobody(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer(timedelta(hours=-1)))
    assert refusal(TrustStore(tmp_path), der(issued())) == "certificate_expired"


def _revocation_list(signer: rsa.RSAPrivateKey, until: datetime, *serials: int) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(name("factory CA"))
    builder = builder.last_update(NOW - timedelta(days=2)).next_update(until)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(days=1))
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("signer", "days", "serials", "reason"),
    [
        ("ca", 1, (4711,), "certificate_revoked"),
        ("server", 1, (), "certificate_crl"),
        ("ca", -1, (), "certificate_crl"),
    ],
)
def test_revoked_or_doubtful_is_refused(
    tmp_path: Path, signer: str, days: int, serials: tuple[int, ...], reason: str
) -> None:
    put(tmp_path / "trusted", issuer())
    (tmp_path / "crl").mkdir()
    (tmp_path / "crl" / "ca.crl").write_bytes(_revocation_list(key(signer), NOW + timedelta(days=days), *serials))
    assert refusal(TrustStore(tmp_path), der(issued())) == reason


def test_garbage_is_refused_and_nothing_is_saved(tmp_path: Path) -> None:
    assert refusal(TrustStore(tmp_path), b"\x30\x82\x00\x05hello") == "certificate_invalid"
    assert not (tmp_path / "rejected").exists()


def test_rejected_folder_is_bounded(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    for number in range(MOST_REJECTED + 3):
        refusal(store, der(self_signed(key(), f"server {number}", URI, [], now=NOW, days=100)))
    assert len(store.listed("rejected")) == MOST_REJECTED


def test_own_certificate_is_made_once_and_renewed_on_request(tmp_path: Path) -> None:
    first = ensure_identity(tmp_path)
    assert ensure_identity(tmp_path).certificate == first.certificate
    assert first.application_uri == application_uri_of(first.certificate)
    assert first.key_path.stat().st_mode & 0o777 == 0o600
    make_identity(tmp_path, datetime.now(UTC))
    assert ensure_identity(tmp_path).certificate != first.certificate
    assert load(first.certificate_path.with_name("certificate.der.old").read_bytes()) == first.certificate


def test_own_key_that_others_may_read_is_a_configuration_mistake(tmp_path: Path) -> None:
    identity = ensure_identity(tmp_path)
    identity.key_path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        ensure_identity(tmp_path)
