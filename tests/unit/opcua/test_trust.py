"""Certificates: who is trusted, and why not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.config import SourceConfig
from gateway.errors import ConfigError, Rejected
from gateway.opcua.session.certificates import (
    application_uri_of,
    ensure_identity,
    load,
    make_identity,
    self_signed,
    thumbprint,
)
from gateway.opcua.session.der import without_defaults
from gateway.opcua.session.fitness import ENCODING
from gateway.opcua.session.revocation import CRL
from gateway.opcua.session.security import check
from gateway.opcua.session.trust import MOST_REJECTED, TrustStore
from tests.support.odd_certificates import with_defaults

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


def test_an_empty_trust_store_refuses_every_server(tmp_path: Path) -> None:
    assert refusal(TrustStore(tmp_path), der(server())) == "certificate_untrusted"


def test_rejected_certificate_can_be_trusted_by_the_beginning_of_its_thumbprint(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    refusal(store, der(server()))
    [rejected] = store.listed("rejected")
    store.trust(rejected.thumbprint[:8].upper())
    assert store.check(der(rejected.certificate), URI, "elsewhere", NOW) == (rejected.certificate, [])
    assert store.listed("rejected") == []


def test_a_certificate_that_a_person_refused_waits_no_longer_until_it_is_trusted(tmp_path: Path) -> None:
    store, shown = TrustStore(tmp_path), der(server())
    refusal(store, shown)
    [waiting] = store.listed("rejected")
    store.refuse(waiting.thumbprint)
    with pytest.raises(Rejected, match="somebody has refused the certificate") as refused:
        store.check(shown, URI, "plc.local", NOW)
    assert f"gateway cert trust {waiting.thumbprint}" in str(refused.value)
    assert store.listed("rejected") == []
    store.trust(waiting.thumbprint)
    assert der(store.check(shown, URI, "plc.local", NOW)[0]) == shown


def test_trusting_an_unknown_thumbprint_is_refused(tmp_path: Path) -> None:
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
def test_a_trusted_certificate_must_still_be_valid(
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


def test_a_trusted_issuer_makes_its_servers_trusted_under_their_host_name(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer())
    store = TrustStore(tmp_path)
    shown = issued()
    assert store.check(der(shown), URI, "PLC.local", NOW) == (shown, [])
    assert refusal(store, der(issued()), host="other.local") == "certificate_host"


def test_folders_below_trusted_are_searched(tmp_path: Path) -> None:
    """So that each who hands a certificate over may have one that nobody else writes to."""
    shown = server()
    put(tmp_path / "trusted" / "munich", shown)
    assert TrustStore(tmp_path).check(der(shown), URI, None, NOW)[1] == []


def test_an_issuer_outside_of_trusted_is_not_trusted(tmp_path: Path) -> None:
    put(tmp_path / "issuers", issuer())
    assert refusal(TrustStore(tmp_path), der(issued()) + der(issuer())) == "certificate_untrusted"


def test_an_expired_issuer_makes_no_server_trusted(tmp_path: Path) -> None:
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
def test_a_revoked_or_doubtful_certificate_is_refused(
    tmp_path: Path, signer: str, days: int, serials: tuple[int, ...], reason: str
) -> None:
    put(tmp_path / "trusted", issuer())
    (tmp_path / "crl").mkdir()
    (tmp_path / "crl" / "ca.crl").write_bytes(_revocation_list(key(signer), NOW + timedelta(days=days), *serials))
    assert refusal(TrustStore(tmp_path), der(issued())) == reason


def _ec_authority(folder: Path, revoked: int) -> bytes:
    """An authority with a key on an elliptic curve, in a store with its list; a certificate of it."""
    curve = ec.generate_private_key(ec.SECP256R1())
    ca = x509.BasicConstraints(ca=True, path_length=None)
    built = x509.CertificateBuilder().issuer_name(name("EC CA")).not_valid_before(NOW - timedelta(days=1))
    built = built.not_valid_after(NOW + timedelta(days=9))
    top = built.subject_name(name("EC CA")).public_key(curve.public_key()).serial_number(1).add_extension(ca, True)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI), x509.DNSName("plc.local")])
    leaf = built.subject_name(name("s")).public_key(key().public_key()).serial_number(77).add_extension(names, False)
    put(folder / "trusted", top.sign(curve, hashes.SHA256()))
    lists = x509.CertificateRevocationListBuilder().issuer_name(name("EC CA")).last_update(NOW - timedelta(days=1))
    entry = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(NOW).build()
    made = lists.next_update(NOW + timedelta(days=1)).add_revoked_certificate(entry).sign(curve, hashes.SHA256())
    (folder / "crl").mkdir()
    (folder / "crl" / "ec.crl").write_bytes(made.public_bytes(serialization.Encoding.DER))
    return der(leaf.sign(curve, hashes.SHA256()))


def test_revocation_lists_of_elliptic_curve_authorities_are_checked(tmp_path: Path) -> None:
    assert refusal(TrustStore(tmp_path / "a"), _ec_authority(tmp_path / "a", 77)) == "certificate_revoked"
    shown = _ec_authority(tmp_path / "b", 78)
    assert TrustStore(tmp_path / "b").check(shown, URI, "plc.local", NOW)[1] == []


@pytest.mark.parametrize("damage", ["half", "empty", "text", "folder", "none"])
def test_without_a_valid_revocation_list_no_certificate_is_trusted(tmp_path: Path, damage: str) -> None:
    put(tmp_path / "trusted", issuer())
    (tmp_path / "crl").mkdir()
    path, sound = tmp_path / "crl" / "ca.crl", _revocation_list(key("ca"), NOW + timedelta(days=1), 5)
    match damage:
        case "half":
            path.write_bytes(sound[:-3])
        case "empty":
            path.touch()
        case "text":
            path.write_text("-----BEGIN X509 CRL-----\nMII\n-----END X509 CRL-----\n")
        case "folder":
            path.mkdir()
    store = TrustStore(tmp_path)
    with pytest.raises(Rejected) as refused:
        store.check(der(issued()), URI, "plc.local", NOW, needs_crl=damage == "none")
    assert refused.value.reason == "certificate_crl"
    assert "gateway cert trust" not in str(refused.value)  # that would let in who may be revoked
    if damage == "none":
        assert store.check(der(issued()), URI, "plc.local", NOW)[1] == []
    pinned = server()
    put(tmp_path / "trusted", pinned)
    assert store.check(der(pinned), URI, None, NOW, needs_crl=True)[1] == []  # it has no issuer who could revoke it


def test_a_newer_revocation_list_replaces_an_expired_one(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer())
    (tmp_path / "crl").mkdir()
    for days in (-1, 1):
        made = _revocation_list(key("ca"), NOW + timedelta(days=days), 5)
        (tmp_path / "crl" / f"{days}.crl").write_bytes(made)
    assert TrustStore(tmp_path).check(der(issued()), URI, "plc.local", NOW)[1] == []


def blemished(which: str) -> tuple[x509.Certificate, str]:
    """A certificate with these blemishes, and what its server calls itself."""
    uri = "urn:another" if "uri" in which else URI
    if "usage" in which:
        return issued(ExtendedKeyUsageOID.CLIENT_AUTH), uri
    bits = 1024 if "key_size" in which else 2048
    dates = {"now": NOW - timedelta(days=9), "days": 8} if "expired" in which else {"now": NOW, "days": 9}
    return self_signed(key(f"{bits}", bits), "plc", URI, ["plc.local"], **dates), uri  # type: ignore[arg-type]


BLEMISHES = [
    "encoding",
    "encoding expired",
    "expired",
    "uri",
    "usage",
    "key_size",
    "expired uri",
    "uri key_size expired",
    "uri usage",
]


@pytest.mark.parametrize("which", BLEMISHES)
def test_a_flaw_is_accepted_by_name_for_a_pinned_certificate_only(tmp_path: Path, which: str) -> None:
    certificate, uri = blemished(which)
    shown = with_defaults(der(certificate)) if "encoding" in which else der(certificate)
    store, names = TrustStore(tmp_path), which.split()

    def outcome(accept: list[str]) -> str:
        try:
            _, accepted = store.check(shown, uri, "plc.local", NOW, accept=accept)
        except Rejected as refused:
            return refused.reason
        return " ".join(sorted(each.name for each in accepted))

    assert outcome(names) == "certificate_untrusted"
    put(tmp_path / "issuers", issuer())
    assert outcome(names) == "certificate_untrusted"
    [kept] = store.listed("rejected")
    assert kept.der == shown
    store.trust(kept.thumbprint)
    assert [each.der for each in store.listed("trusted")] == [shown]
    assert outcome(names) == " ".join(sorted(names))
    for missing in names:
        assert outcome([each for each in names if each != missing]).startswith("certificate_")
    assert outcome([]).startswith("certificate_")


def test_a_badly_encoded_certificate_is_not_trusted_through_its_issuer_but_revoked_by_it(tmp_path: Path) -> None:
    shown, store = with_defaults(der(issued())), TrustStore(tmp_path)
    put(tmp_path / "trusted", issuer())
    with pytest.raises(Rejected, match=r"security.accept: \[encoding\]") as refused:
        store.check(shown, URI, "plc.local", NOW, accept=["encoding"])
    assert refused.value.reason == "certificate_untrusted"
    store.trust(store.listed("rejected")[0].thumbprint)
    assert store.check(shown, URI, "plc.local", NOW, accept=["encoding"])[1] == [ENCODING]
    with pytest.raises(Rejected) as refused:
        store.check(shown, URI, "plc.local", NOW, accept=["encoding"], needs_crl=True)
    assert refused.value.reason == CRL


@pytest.mark.parametrize("cut", [b"", b"\x30", b"\x30\x80", b"\x30\x85\0\0\0\0\1", b"\x30\x03\x30\x09\0"])
def test_what_is_no_certificate_is_not_mended(cut: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes|length|unpack"):
        without_defaults(cut)


def test_a_certificate_is_mended_to_what_it_was() -> None:
    for certificate in (server(), issued(), issuer()):
        assert (
            without_defaults(with_defaults(der(certificate))) == der(certificate) == without_defaults(der(certificate))
        )


def test_a_trusted_issuer_does_not_make_a_flaw_acceptable(tmp_path: Path) -> None:
    put(tmp_path / "trusted", issuer())
    shown, store = der(issued(ExtendedKeyUsageOID.CLIENT_AUTH)), TrustStore(tmp_path)
    with pytest.raises(Rejected, match=r"security.accept: \[usage\]") as refused:
        store.check(shown, URI, "plc.local", NOW, accept=["usage"])
    assert refused.value.reason == "certificate_usage"
    assert [der(each.certificate) for each in store.listed("rejected")] == [shown]


def test_a_refusal_names_every_problem(tmp_path: Path) -> None:
    certificate, uri = blemished("uri key_size expired")
    with pytest.raises(Rejected, match=r"security.accept: \[expired, uri, key_size\]"):
        TrustStore(tmp_path).check(der(certificate), uri, None, NOW)
    with pytest.raises(Rejected, match="'CN=factory CA', is not known"):
        TrustStore(tmp_path).check(der(issued()), URI, None, NOW)


def test_unreadable_extensions_are_a_flaw(tmp_path: Path) -> None:
    twice = (
        server()
        .public_bytes(serialization.Encoding.DER)
        .replace(bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d23"))
    )
    put(tmp_path / "trusted", load(twice))  # the same extension two times
    _, accepted = TrustStore(tmp_path).check(twice, URI, None, NOW, accept=["uri", "usage"])
    assert [each.name for each in accepted] == ["uri", "usage"]


def test_an_unreadable_certificate_is_kept_for_review(tmp_path: Path) -> None:
    shown = der(server())
    broken = shown[:20] + b"\xff" * 20 + shown[40:]
    assert refusal(TrustStore(tmp_path), broken) == "certificate_invalid"
    [kept] = (tmp_path / "rejected").iterdir()
    assert kept.read_bytes() == broken


@pytest.mark.parametrize("text", ["", "{", "[]", '{"u": 1}', '{"u": [1]}', '{"u": ["x", 1]}', "folder", '{"u": null}'])
def test_a_damaged_record_of_the_strongest_security_is_a_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strongest.json"
    path.mkdir() if text == "folder" else path.write_text(text)
    config = SourceConfig.model_validate(
        {"name": "s", "url": "opc.tcp://u", "security": {"pki": tmp_path}, "select": [{"node": "i=1"}]}
    )
    with pytest.raises(ConfigError, match=r"strongest\.json"):
        check(config)


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


PASSWORD = {"username": "u", "password": {"env": "P"}}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"insecure": True, **PASSWORD}, "encrypted for an unknown server"),
        ({"security": {"policy": "None"}}, "protects nothing but a password"),
        ({"security": {"policy": "None", "mode": "Sign"}, **PASSWORD}, "has no mode"),
        ({"security": {"policy": "None"}, **PASSWORD}, ""),
    ],
)
def test_a_password_without_a_secure_channel_needs_a_server_that_is_known(
    settings: dict[str, object], problem: str
) -> None:
    def made() -> SourceConfig:
        return SourceConfig.model_validate({"name": "s", "url": "opc.tcp://u", "select": [{"node": "i=1"}], **settings})

    if not problem:
        assert made().password is not None
        return
    with pytest.raises(ValueError, match=problem):
        made()
