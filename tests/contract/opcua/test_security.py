"""Secured channels against node-opcua: who is trusted, how strong, which user."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from structlog.testing import capture_logs

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.opcua import open_source
from gateway.opcua.session.certificates import ensure_identity, load
from gateway.opcua.session.trust import TrustStore
from simulators.server.endpoint import OpcUaServer, access_for
from tests.support.odd_certificates import with_defaults
from tests.support.opcua_peers import node_opcua_server
from tests.support.opcua_server import NAMESPACE, OpcuaServer
from tests.support.served import served

COUNTER = f"nsu={NAMESPACE};s=press-1.Counter"


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 240))


def config(server: OpcuaServer | OpcUaServer, pki: Path, **changes: object) -> SourceConfig:
    plain: dict[str, object] = {
        "name": "line", "url": server.url, "security": {"pki": pki}, "select": [{"node": COUNTER}],
        "publishing_interval": 0.05, "keep_alive": 1, "request_timeout": 10,
    }  # fmt: skip
    return SourceConfig.model_validate(plain | changes)


async def first_value(made: SourceConfig, metrics: Metrics | None = None) -> object:
    series = (metrics or Metrics()).for_source("line")
    async with open_source(made, series, b"") as source, aclosing(source.batches()) as batches:
        async for batch in batches:
            if len(batch):
                return next(iter(batch.values))
    raise AssertionError("the source ended")


async def refusal(made: SourceConfig) -> str:
    with pytest.raises(Unavailable) as caught:
        await first_value(made)
    return str(caught.value)


@asynccontextmanager
async def trusted_server(pki: Path, anonymous: bool = True) -> AsyncIterator[OpcuaServer]:
    """A secured server whose certificate was refused once and then trusted, as a person does."""
    async with node_opcua_server(secure=True, anonymous=anonymous) as server:
        text = await refusal(config(server, pki))
        TrustStore(pki).trust(text.partition("cert trust ")[2].split()[0])
        yield server


def test_unknown_server_is_refused_and_saved_with_the_command_that_trusts_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with node_opcua_server(secure=True) as server:
            text = await refusal(config(server, tmp_path))
            [rejected] = TrustStore(tmp_path).listed("rejected")
            assert f"gateway cert trust {rejected.thumbprint} --pki {tmp_path}" in text
            assert str(rejected.path) in text
            assert TrustStore(tmp_path).listed("trusted") == []

    run(body)


def test_trusted_server_is_connected_encrypted_and_its_expiry_is_known(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics()
        async with trusted_server(tmp_path) as server:
            assert await first_value(config(server, tmp_path), metrics) == 0
        for which in ("own", "server"):
            name, labels = (
                "gateway_source_certificate_expires_timestamp_seconds",
                {"source": "line", "certificate": which},
            )
            assert (metrics.registry.get_sample_value(name, labels) or 0) > 1.7e9

    run(body)


def test_every_policy_and_mode_with_a_user(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "secret").write_text("s3cret\n")
        (tmp_path / "secret").chmod(0o600)
        user = {"username": "operator", "password": {"file": tmp_path / "secret"}}
        async with trusted_server(tmp_path) as server:
            for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"):
                for mode in ("Sign", "SignAndEncrypt"):
                    security = {"pki": tmp_path, "policy": policy, "mode": mode}
                    assert await first_value(config(server, tmp_path, security=security, **user)) == 0, (policy, mode)

    run(body)


def test_user_may_be_a_certificate(tmp_path: Path) -> None:
    async def body() -> None:
        user = ensure_identity(tmp_path / "user")
        files = {"user_certificate": user.certificate_path, "user_key": user.key_path}
        async with trusted_server(tmp_path, anonymous=False) as server:
            assert await first_value(config(server, tmp_path, **files)) == 0
            assert "Bad" in await refusal(config(server, tmp_path))  # nobody is not let in

    run(body)


@pytest.mark.parametrize("policy", ["auto", "None"])
def test_a_badly_encoded_certificate_is_accepted_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    class Spelt:
        """The server's certificate, with what DER leaves out."""

        def __init__(self, made: Certificate) -> None:
            self._made = made

        def __getattr__(self, name: str) -> object:
            return getattr(self._made, name)

        def public_bytes(self, encoding: Encoding) -> bytes:
            return with_defaults(self._made.public_bytes(encoding))

    async def load_certificate(server: OpcUaServer, path: Path) -> None:
        shown = Spelt(load(path.read_bytes()))
        setattr(server, "certificate", shown)  # noqa: B010 - asyncua declares neither
        setattr(server.iserver, "certificate", shown)  # noqa: B010

    async def body() -> None:
        (tmp_path / "secret").write_text("s3cret")
        (tmp_path / "secret").chmod(0o600)
        user = {"username": "operator", "password": {"file": tmp_path / "secret"}, "select": [{"node": "ns=2;s=V0"}]}
        policies = ("None", "Basic256Sha256") if policy == "None" else ("Basic256Sha256",)
        access = access_for(policies, tmp_path / "server", {"operator": "s3cret"}, None)
        security = {"pki": tmp_path, "policy": policy}
        async with served(access=access) as fixture:
            text = await refusal(config(fixture.server, tmp_path, security=security, **user))
            assert "security.accept: [encoding]" in text
            TrustStore(tmp_path).trust(text.partition("cert trust ")[2].split()[0])
            assert "EncodedDefault" in await refusal(config(fixture.server, tmp_path, security=security, **user))
            metrics, accepting = Metrics(), {**security, "accept": ["encoding"]}
            with capture_logs() as logs:
                assert await first_value(config(fixture.server, tmp_path, security=accepting, **user), metrics) == 0
            assert [line["accept"] for line in logs if "accept" in line] == ["encoding"]
            labels = {"source": "line", "blemish": "encoding"}
            name = "gateway_source_certificate_blemishes_accepted_total"
            assert metrics.registry.get_sample_value(name, labels) == 1

    monkeypatch.setattr(OpcUaServer, "load_certificate", load_certificate)
    run(body)


def test_wrong_password_is_unavailable(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "secret").write_text("wrong")
        (tmp_path / "secret").chmod(0o600)
        user = {"username": "operator", "password": {"file": tmp_path / "secret"}}
        async with trusted_server(tmp_path) as server:
            assert "BadUserAccessDenied" in await refusal(config(server, tmp_path, **user))

    run(body)


def test_a_password_goes_over_an_open_channel_to_a_server_that_is_trusted_and_encrypts_it(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "secret").write_text("s3cret")
        (tmp_path / "secret").chmod(0o600)
        user = {"username": "operator", "password": {"file": tmp_path / "secret"}, "select": [{"node": "ns=2;s=V0"}]}
        access = access_for(("None", "Basic256Sha256"), tmp_path / "server", {"operator": "s3cret"}, None)
        async with served(access=access) as fixture:
            open_channel = config(fixture.server, tmp_path, security={"pki": tmp_path, "policy": "None"}, **user)
            text = await refusal(open_channel)
            TrustStore(tmp_path).trust(text.partition("cert trust ")[2].split()[0])
            assert await first_value(open_channel) == 0

    run(body)


def test_an_accepted_flaw_of_a_certificate_is_logged_and_counted_at_each_connect(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics()
        async with trusted_server(tmp_path) as server:
            with capture_logs() as logs:
                later = config(server, tmp_path, security={"pki": tmp_path, "accept": ["expired"]})
                for _ in range(2):
                    assert await first_value(later, metrics) == 0
        told = [line["accept"] for line in logs if str(line["event"]).startswith("accepted although")]
        assert told == ["expired", "expired"]
        series, labels = "gateway_source_certificate_blemishes_accepted_total", {"source": "line", "blemish": "expired"}
        assert metrics.registry.get_sample_value(series, labels) == 2

    with patch("gateway.opcua.session.security.now", lambda: datetime.now(UTC) + timedelta(days=99 * 365)):
        run(body)


def test_auto_security_never_connects_to_a_server_that_lost_its_security(tmp_path: Path) -> None:
    async def body() -> None:
        async with node_opcua_server() as server:
            assert "offers no endpoint that is allowed" in await refusal(config(server, tmp_path))

    run(body)


def test_auto_security_is_never_weaker_than_before(tmp_path: Path) -> None:
    async def body() -> None:
        async with trusted_server(tmp_path) as server:
            assert await first_value(config(server, tmp_path)) == 0
            weaker = {"pki": tmp_path, "mode": "Sign"}  # what a server shows that lost its better endpoints
            assert "offered Aes256_Sha256_RsaPss, SignAndEncrypt before" in await refusal(
                config(server, tmp_path, security=weaker)
            )

    run(body)
