"""A secured server offers what it was asked for, knows its users, and trusts the certificates it was given."""

import asyncio
import shutil
from pathlib import Path

import pytest
from asyncua.client import Client
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import BadUserAccessDenied, UaError

from simulators.errors import ConfigError
from simulators.server.endpoint import Access, access_for
from simulators.server.pki import own_certificate, users_of
from tests.support.served import Served, served

USERS = {"operator": "correct horse"}
POLICIES: dict[str, type[SecurityPolicyBasic256Sha256] | type[SecurityPolicyAes256Sha256RsaPss]] = {
    "Basic256Sha256": SecurityPolicyBasic256Sha256,
    "Aes256_Sha256_RsaPss": SecurityPolicyAes256Sha256RsaPss,
}


async def client_of(fixture: Served, folder: Path, policy: str | None, name: str = "", password: str = "") -> Client:
    client = Client(fixture.server.url, timeout=30)
    client.application_uri = "urn:test:client"
    if name:
        client.set_user(name)
        client.set_password(password)
    if policy:
        certificate, key = await asyncio.to_thread(own_certificate, folder / "client", client.application_uri)
        await client.set_security(POLICIES[policy], str(certificate), str(key))
    return client


async def state_seen(client: Client) -> object:
    async with client:
        state: object = await client.nodes.server_state.read_value()
        return state


def run(folder: Path, policies: tuple[str, ...], policy: str | None, name: str = "", password: str = "") -> object:
    access = access_for(policies, folder / "server", USERS, None)

    async def whole() -> object:
        async with served(access=access) as fixture:
            return await state_seen(await client_of(fixture, folder, policy, name, password))

    return asyncio.run(asyncio.wait_for(whole(), 240))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_named_user_connects_over_an_encrypted_channel(tmp_path: Path, policy: str) -> None:
    assert run(tmp_path, (policy,), policy, "operator", "correct horse") == 0


def test_wrong_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUserAccessDenied):
        run(tmp_path, ("Basic256Sha256",), "Basic256Sha256", "operator", "wrong")


def test_anonymous_is_refused_where_there_are_users(tmp_path: Path) -> None:
    with pytest.raises(UaError):
        run(tmp_path, ("Basic256Sha256",), "Basic256Sha256")


def test_an_unencrypted_client_is_refused_unless_none_is_configured(tmp_path: Path) -> None:
    with pytest.raises((UaError, ConnectionError, TimeoutError)):
        run(tmp_path, ("Basic256Sha256",), None, "operator", "correct horse")


def test_with_a_trust_folder_only_trusted_clients_connect(tmp_path: Path) -> None:
    async def whole(known: bool) -> object:
        stranger, _ = own_certificate(tmp_path / "stranger", "urn:test:stranger")
        client, _ = own_certificate(tmp_path / "client", "urn:test:client")
        trusted = tmp_path / "server" / "trusted"
        trusted.mkdir(parents=True, exist_ok=True)
        (trusted / "one.der").write_bytes((client if known else stranger).read_bytes())
        access = access_for(("Basic256Sha256",), tmp_path / "server", USERS, None)
        async with served(access=access) as fixture:
            return await state_seen(await client_of(fixture, tmp_path, "Basic256Sha256", "operator", "correct horse"))

    assert asyncio.run(asyncio.wait_for(whole(known=True), 240)) == 0
    with pytest.raises(UaError):
        asyncio.run(asyncio.wait_for(whole(known=False), 240))


def test_a_client_is_accepted_once_its_certificate_is_in_the_folder(tmp_path: Path) -> None:
    async def whole() -> object:
        trusted = tmp_path / "server" / "trusted"
        trusted.mkdir(parents=True)
        access = access_for(("Basic256Sha256",), tmp_path / "server", {}, None)
        async with served(access=access) as fixture:
            with pytest.raises(UaError):
                await state_seen(await client_of(fixture, tmp_path, "Basic256Sha256"))
            shutil.copy(tmp_path / "client" / "own.der", trusted)
            return await state_seen(await client_of(fixture, tmp_path, "Basic256Sha256"))

    assert asyncio.run(asyncio.wait_for(whole(), 240)) == 0


def test_security_is_on_by_default_and_none_must_be_configured(tmp_path: Path) -> None:
    assert access_for(("None",), tmp_path, {}, None).policies == ("None",)
    silent = access_for((), tmp_path, {}, None)
    assert silent.policies == ("Basic256Sha256", "Aes256_Sha256_RsaPss")
    assert silent.private_key is not None
    assert silent.private_key.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="allowed are None, Basic256Sha256"):
        access_for(("Basic128",), tmp_path, {}, None)


def test_users_file_with_a_number_for_a_password_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("anna: secret\nbert: 12345\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"users\.yaml:2: "):
        users_of(path)


def test_the_default_access_has_no_named_users() -> None:
    assert Access().passwords == {}
