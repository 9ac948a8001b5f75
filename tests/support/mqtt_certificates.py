"""A small certificate authority for tests."""

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.brokers import Process, mosquitto

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key(), DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str, lasts: datetime.timedelta = DAY, password: bytes = b"") -> Pair:
        """A certificate for host names or addresses; `lasts` may lie in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key(), lasts)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(pem)
        return pair

    def revoking(self, serial: int, lasts: datetime.timedelta) -> bytes:
        """A revocation list with this number; `lasts` may lie in the past."""
        now = datetime.datetime.now(datetime.UTC)
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now - 2 * DAY)
        made = builder.next_update(now + lasts).add_revoked_certificate(entry).sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    def listener(self, pair: Pair) -> str:
        """Lines that make a listener of mosquitto speak TLS."""
        return f"certfile {pair.certificate}\nkeyfile {pair.key}\ncafile {self.path}"


@dataclass(frozen=True)
class SecureBroker:
    """mosquitto that speaks TLS only, and who issued its certificate."""

    process: Process
    authority: Authority

    @property
    def sink(self) -> dict[str, object]:
        """What a gateway is told of it."""
        return {"url": f"mqtts://127.0.0.1:{self.process.port}", "tls": {"ca": str(self.authority.path)}}

    def renew(self, lasts: datetime.timedelta) -> None:
        """Another certificate in the same files; shown once the broker is started again."""
        self.authority.issue("broker", "127.0.0.1", lasts=lasts)


@contextmanager
def secure_mosquitto(folder: Path, *options: str) -> Iterator[SecureBroker]:
    authority = Authority(folder)
    pair = authority.issue("broker", "127.0.0.1", lasts=90 * DAY)
    with mosquitto(folder, *options, listener=authority.listener(pair)) as process:
        yield SecureBroker(process, authority)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    end = now + lasts
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - 10 * DAY)
        .not_valid_after(end)
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
