"""Secrets: what they may look like, who else may read them, and that a bad one waits instead of ending anything."""

import asyncio
import base64
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway import tls
from gateway.config import BrokerConfig, Secret, SourceConfig, TlsConfig
from gateway.config.private_files import rule_for
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.mqtt import credentials, open_sink
from gateway.opcua.session.certificates import ensure_identity, identity_or_none
from gateway.opcua.session.connect import open_session
from gateway.opcua.session.security import check


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[bytes], Secret]:
    path = tmp_path / "secret"
    path.touch(0o600)

    def write(data: bytes) -> Secret:
        path.write_bytes(data)
        return Secret(file=path)

    return write


@pytest.mark.parametrize(
    "data", [b"hunter2", b"hunter2\n", b"hunter2\r\n", b"\xef\xbb\xbfhunter2\n", b"hunter2\n\n"], ids=repr
)
def test_a_byte_order_mark_and_line_ends_are_removed_from_a_secret(
    data: bytes, secret: Callable[[bytes], Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD", data.decode())
    assert secret(data).read() == Secret(env="HELD").read() == "hunter2"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"hunter2\xff", "is not UTF-8 text"),
        ("hunter2".encode("utf-16"), "is not UTF-8 text"),
        (b"", "is empty"),
        (b"\r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
    ],
    ids=repr,
)
def test_an_unusable_secret_is_reported_without_its_content(
    data: bytes, told: str, secret: Callable[[bytes], Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.environb[b"HELD"] = data.replace(b"\0", b"\x80")
    try:
        for kept in (secret(data), Secret(env="HELD")):
            with pytest.raises(ConfigError, match=told) as caught:
                kept.read()
            assert "hunter" not in str(caught.value)
    finally:
        del os.environ["HELD"]


def test_a_secret_must_be_a_regular_file_of_limited_size(secret: Callable[[bytes], Secret], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 65535 bytes"):
        secret(b"x" * 65_536).read()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is not a file"):
            Secret(file=path).read()
    with pytest.raises(ConfigError, match="No such file"):
        Secret(file=tmp_path / "none").read()


# -- who else may read


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640, 0o660, 0o700])
def test_a_secret_may_be_readable_by_the_group(mode: int, secret: Callable[[bytes], Secret], tmp_path: Path) -> None:
    kept = secret(b"hunter2")
    (tmp_path / "secret").chmod(mode)
    assert kept.read() == "hunter2"
    assert rule_for(tmp_path / "secret", "a secret") == f"others may not read it (mode {mode:04o})"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o444, 0o777])
def test_a_secret_must_not_be_readable_by_others(mode: int, secret: Callable[[bytes], Secret], tmp_path: Path) -> None:
    kept = secret(b"hunter2")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(ConfigError, match=rf"others may read it \(mode {mode:04o}; .*chmod 600"):
        kept.read()


def test_a_secret_in_a_credential_folder_may_be_readable_by_others(
    secret: Callable[[bytes], Secret], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = secret(b"hunter2")
    (tmp_path / "secret").chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert kept.read() == "hunter2"
    assert rule_for(tmp_path / "secret", "a secret") == (
        f"others may read it (mode 0444), in the credential folder {tmp_path}"
    )
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secre"))
    with pytest.raises(ConfigError, match="others may read it"):
        kept.read()


def test_a_secret_on_a_read_only_mount_may_be_readable_by_others(tmp_path: Path) -> None:
    """As Kubernetes and docker mount secrets: a tmpfs, read-only, mode 0444, through a symbolic link."""
    script = (
        "mkdir -p m/..data && mount -t tmpfs none m && mkdir m/..data && echo hunter2 > m/..data/secret && "
        "ln -s ..data/secret m/secret && chmod 444 m/..data/secret && {0} && mount -o remount,ro m && {0}"
    )
    read = f'{sys.executable} -c "{_READ}"'
    ours = ["unshare", "-rm"]
    mount = [*ours, "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no mounts of our own here")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [*ours, "sh", "-c", script.format(read)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["refused", "hunter2 others may read it (mode 0444), on a read-only mount"]


_READ = (
    "from pathlib import Path; from gateway.config import Secret; from gateway.errors import ConfigError\n"
    "from gateway.config.private_files import rule_for; p = Path('m/secret')\n"
    "try: print(Secret(file=p).read(), rule_for(p, 'a secret'))\n"
    "except ConfigError: print('refused')"
)


def certified(folder: Path) -> TlsConfig:
    ensure_identity(folder)
    own = folder / "own"
    return TlsConfig(certificate=own / "certificate.der", key=own / "private_key.pem")


def test_the_rules_of_secrets_hold_for_every_key(tmp_path: Path) -> None:
    files = certified(tmp_path / "pki")
    assert files.key is not None
    source = {"name": "a", "url": "opc.tcp://h", "select": [{"node": "i=1"}]}
    user = {"user_certificate": str(files.certificate), "user_key": str(files.key)}
    sources = [
        SourceConfig.model_validate({**source, "insecure": True, **user}),
        SourceConfig.model_validate({**source, "security": {"pki": str(tmp_path / "pki")}}),
    ]
    files.key.chmod(0o640)
    for each in sources:
        check(each)
    assert not any("others may read" in text for _, text in tls.problems_with(files))
    files.key.chmod(0o644)
    for each in sources:
        with pytest.raises(ConfigError, match="others may read it"):
            check(each)
    assert any("others may read" in text for _, text in tls.problems_with(files))


# -- later


async def entered(peer: AbstractAsyncContextManager[object]) -> None:
    async with peer:
        pass


def test_a_broker_is_retried_while_its_secret_is_unusable(secret: Callable[[bytes], Secret]) -> None:
    config = BrokerConfig(url="mqtt://127.0.0.1:1", username="u", password=secret(b"hunter2\xff"))
    with pytest.raises(Unavailable, match="is not UTF-8 text"):
        asyncio.run(entered(open_sink(config, Link("b", config.url), "id")))


@pytest.mark.parametrize("broken", ["password", "own key", "own key of another", "own certificate", "user key", "pki"])
def test_a_server_is_retried_while_its_files_are_unusable(
    broken: str, secret: Callable[[bytes], Secret], tmp_path: Path
) -> None:
    pki = tmp_path / "pki"
    files = certified(pki)
    assert files.key is not None
    assert files.certificate is not None
    source = SourceConfig.model_validate(
        {"name": "a", "url": "opc.tcp://127.0.0.1:1", "security": {"pki": str(pki)}, "select": [{"node": "i=1"}]}
    )
    match broken:
        case "password":
            source = source.model_copy(update={"username": "u", "password": secret(b"\xff")})
        case "own key":
            files.key.write_bytes(b"nonsense")
        case "own key of another":
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        case "own certificate":
            files.certificate.write_bytes(b"nonsense")
        case "user key":
            user_key = tmp_path / "user.pem"
            user_key.touch(0o600)
            source = source.model_copy(update={"user_certificate": files.certificate, "user_key": user_key})
        case "pki":
            shutil.rmtree(pki)
            pki.touch()
    with pytest.raises(ConfigError):
        check(source)
    with pytest.raises(Unavailable, match=str(tmp_path)):
        asyncio.run(entered(open_session(source, Metrics().for_source("a"))))


def test_asking_for_an_identity_creates_none(tmp_path: Path) -> None:
    assert identity_or_none(tmp_path / "pki") is None
    assert list(tmp_path.iterdir()) == []


def token(claims: str) -> str:
    return "e30." + base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=") + ".x"


@pytest.mark.parametrize(
    "password",
    [
        b"\xff", token('{"exp": 1' + "0" * 400 + "}").encode(), token("[" * 20_000).encode(), token("5").encode(),
        token('{"exp": {}}').encode(), b"SharedAccessSignature sr=x&se=1e999999", b"a.\xc3\xbc.b",
    ],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_any_password_gives_an_expiry_that_metrics_can_show(password: bytes, secret: Callable[[bytes], Secret]) -> None:
    ends = credentials.expires_s(secret(password))
    assert math.isnan(ends) or ends == math.inf
    assert credentials.expires_s(secret(token(json.dumps({"exp": 1.5e9})).encode())) == 1.5e9


def test_a_secret_query_is_one_line(secret: Callable[[bytes], Secret]) -> None:
    assert credentials.query_of(secret(b"?token=a%20b&x=1\n")) == "token=a%20b&x=1"
    for bad in (b"a b", b"a\r\nHost: x", b"a#b", "ü".encode()):
        with pytest.raises(ConfigError, match="not allowed in an address"):
            credentials.query_of(secret(bad))
