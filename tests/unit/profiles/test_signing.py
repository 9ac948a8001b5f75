"""Passwords are those that the clouds' own documents and programs make.

The Azure vectors: Microsoft's azure-iot-device 2.14.0 with a frozen clock, its own unit test, and the documentation of
DPS.  Huawei: the documentation of IoTDA.  `python -m tests.bench.cloud_signers` asks the vendors' programs again.
"""

import base64
import math

import pytest

from gateway.profiles import Profile, profile_named, signing
from gateway.profiles.names import Who, credentials_of

KEY = "NMgJDvdKTxjLi+xBxxkDDEwDJxEvOE5u8BiT0mVgPeg="
SAS = (
    "SharedAccessSignature sr=contoso.azure-devices.net%2Fdevices%2FMyDevice01"
    "&sig=ddS%2BDNTDvLSqYQEysws9krVl3Ssl2YY37IWzOfJ7wRE%3D&se=1700000000"
)
GROUP = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
PSK = base64.b64encode(b"0123456789abcdef").decode()


def test_a_shared_access_signature_is_that_of_microsofts_program() -> None:
    assert signing.sas_token("contoso.azure-devices.net/devices/MyDevice01", KEY, 1_700_000_000) == SAS


def test_a_device_key_follows_from_the_group_key_as_microsoft_documents() -> None:
    derived = signing.device_key(GROUP, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")
    assert derived == "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="


def test_a_password_of_huawei_is_the_published_one() -> None:
    found = signing.huawei_password("12345678", "2025041401")
    assert found == "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a"


def test_a_password_of_tencent_is_that_of_its_program() -> None:
    found = signing.tencent_password(PSK, "ABC123XYZ0dev1;12010126;abcde;1700000000")
    assert found == "71f9d1fec55f6e579a4ea547b4b2844c85e289e5586053edd3b30277a93bd795;hmacsha256"


def test_a_key_that_is_not_base64_is_named_as_such() -> None:
    with pytest.raises(ValueError, match="not base64"):
        signing.sas_token("hub/devices/d", "not a key", 1)


AT_S = 1_699_996_400.0
HERE = Who("MyDevice01", "contoso.azure-devices.net", "p1")


@pytest.mark.parametrize(
    ("profile", "secret", "client_id", "username", "password"),
    [
        ("azure-iot-hub", KEY, "MyDevice01", "contoso.azure-devices.net/MyDevice01/?api-version=2021-04-12", SAS),
        ("azure-iot-hub", None, "MyDevice01", "contoso.azure-devices.net/MyDevice01/?api-version=2021-04-12", None),
        ("huawei-iotda", "12345678", "MyDevice01_0_1_2023111421", "MyDevice01",
         signing.huawei_password("12345678", "2023111421")),
        ("tencent-iot", PSK, "p1MyDevice01", "p1MyDevice01;12010126;abcde;1700082800",
         signing.tencent_password(PSK, "p1MyDevice01;12010126;abcde;1700082800")),
        ("alibaba-iot", "s", "MyDevice01|securemode=2,signmethod=hmacsha256,timestamp=1699996400000|", "MyDevice01&p1",
         signing.alibaba_password("s", "MyDevice01", "MyDevice01", "p1", "1699996400000")),
        ("aws-iot-core", None, "MyDevice01", None, None),
        ("azure-event-grid", None, "MyDevice01", "MyDevice01", None),
    ],
)  # fmt: skip
def test_a_login_has_the_form_that_the_cloud_wants(
    profile: str, secret: str | None, client_id: str, username: str | None, password: str | None
) -> None:
    made = credentials_of(profile_named(profile), HERE, secret, AT_S)
    assert (made.client_id, made.username, made.password) == (client_id, username, password)
    assert "sig=" not in repr(made)


def test_only_what_has_an_end_is_renewed() -> None:
    def ends(profile: Profile, lifetime_s: float | None = None) -> float:
        return credentials_of(profile, HERE, KEY, AT_S, lifetime_s=lifetime_s).ends_s

    assert ends(profile_named("azure-iot-hub")) == AT_S + 3600
    assert ends(profile_named("azure-iot-hub"), 600.0) == AT_S + 600
    assert math.isnan(ends(profile_named("huawei-iotda")))  # the hour is looked at when connecting only
