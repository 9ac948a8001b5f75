"""When a password ends is read from tokens that say so, and from nothing else."""

import base64
import json
import math

import pytest

from gateway.config import Secret
from gateway.mqtt.credentials import expires_s, token_expires_s


def jwt(claims: object) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.c2ln"


def test_the_expiry_of_a_web_token_is_known() -> None:
    assert token_expires_s(jwt({"exp": 1_800_000_000})) == 1_800_000_000


def test_the_expiry_of_a_shared_access_signature_is_known() -> None:
    assert token_expires_s("SharedAccessSignature sr=hub%2Fdevices%2Fx&sig=a%3D&se=1800000000") == 1_800_000_000


@pytest.mark.parametrize("password", ["secret", "a.b.c", "", jwt([1]), jwt({"exp": {}}), "SharedAccessSignature se=x"])
def test_any_other_password_has_no_expiry(password: str) -> None:
    assert math.isnan(token_expires_s(password))


def test_the_expiry_is_read_from_the_password_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", jwt({"exp": 5.5}))
    assert expires_s(Secret(env="TOKEN")) == 5.5
    assert math.isnan(expires_s(Secret(env="TOKEN_THAT_IS_NOT_SET")))
