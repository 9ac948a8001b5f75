"""Client id, user name and password of a device at one instant, from the templates of a profile."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.profiles import signing
from gateway.profiles.table import Profile

_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Who:
    """A device at a cloud."""

    device: str
    host: str
    """The cloud's host name, also where the connection goes somewhere else."""
    product: str = ""
    """The product that the device belongs to."""
    is_tls: bool = True

    @property
    def fields(self) -> dict[str, str]:
        """What the templates of topics may name."""
        return {"device": self.device, "host": self.host, "product": self.product}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a CONNECT says."""

    client_id: str
    username: str | None
    password: str | None
    ends_s: float = math.nan
    """Unix time at which the cloud ends what they opened.  NaN: it does not."""
    method: str = ""
    """Of enhanced authentication (MQTT 5, 4.12), whose data is then the password.  Empty: there is none."""

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r}, …)"  # keeps the password out of logs


def filled(template: str, fields: Mapping[str, str]) -> str:
    """The template with its fields.  Raises `KeyError` for an unknown field."""
    return _FIELD.sub(lambda match: fields[match[1]], template)


def credentials_of(
    profile: Profile,
    who: Who,
    secret: str | None,
    now_s: float,
    *,
    nonce: str = "abcde",
    lifetime_s: float | None = None,
) -> Credentials:
    """The login of a device.  `secret` is its key, or for other kinds of password the password itself.

    Without a secret there is no password: the device shows a certificate.  Raises `ValueError` when the secret is no
    key of this cloud.
    """
    login = profile.login
    lasts_s = lifetime_s or login.lifetime_s
    ends_s = math.floor(now_s + lasts_s) if lasts_s is not None else 0
    now = datetime.fromtimestamp(now_s, UTC)
    fields = {
        **who.fields,
        "hour": f"{now:%Y%m%d%H}",
        "millis": str(int(now_s * 1000)),
        "nonce": nonce,
        "expiry": str(ends_s),
        "secure": "2" if who.is_tls else "3",
    }
    client_id = filled(login.client_id, fields)
    username = None if login.username is None else filled(login.username, fields)
    if secret is None:
        return Credentials(client_id, username, None)
    password = secret
    match login.password:
        case "sas":
            if secret.startswith("SharedAccessSignature "):
                return Credentials(client_id, username, secret)
            password = signing.sas_token(f"{who.host}/devices/{who.device}", secret, ends_s)
        case "huawei":
            password = signing.huawei_password(secret, fields["hour"])
        case "tencent":
            password = signing.tencent_password(secret, username or "")
        case "alibaba":
            password = signing.alibaba_password(secret, who.device, who.device, who.product, fields["millis"])
    return Credentials(client_id, username, password, ends_s if ends_s and login.lifetime_s else math.nan)


def is_signed(profile: Profile) -> bool:
    """Whether passwords are signatures, which hold the time: a wrong clock is refused, and no key is sent."""
    return profile.login.password in ("sas", "huawei", "tencent", "alibaba")
