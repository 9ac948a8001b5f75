"""What a cloud decides about a connection and about a message, from its profile.  Pure: the clock is an argument.

Logins are checked by recomputation from the device's key, and the times in them against the cloud's clock.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qs

from gateway.emulator.packets import AUTH_DATA, AUTH_METHOD, Connect, Publish, first_of, matches
from gateway.profiles import Profile, signing
from gateway.profiles.bucket import Bucket
from gateway.profiles.names import Who, filled
from gateway.profiles.signing import claims_of
from gateway.profiles.wire import Wire, problem_of_client_id, problem_of_topic

Action = Literal["take", "silence", "close", "refuse", "delay"]

BAD_CLIENT_ID, BAD_LOGIN, NOT_ALLOWED, BAD_VERSION, TOO_OFTEN = "client id", "login", "not allowed", "version", "often"
BAD_METHOD = "method"
_CODES: Mapping[str, tuple[int, int]] = {
    BAD_CLIENT_ID: (2, 0x85), BAD_LOGIN: (4, 0x86), NOT_ALLOWED: (5, 0x87), BAD_VERSION: (1, 0x84),
    TOO_OFTEN: (3, 0x9F), BAD_METHOD: (5, 0x8C),
}  # fmt: skip


class RefusedError(Exception):
    """A connection that the cloud does not take."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why

    def code(self, level: int) -> int:
        """The code of the CONNACK."""
        return _CODES[self.why][1 if level == 5 else 0]


@dataclass(frozen=True, slots=True)
class Devices:
    """Who may connect."""

    keys: Mapping[str, str]
    """By name of a device: its key as the console shows it.  Empty: it shows a certificate."""
    host: str = "emulated.example.com"
    product: str = "emulated"


@dataclass(slots=True)
class Admitted:
    """A device that is connected."""

    device: str
    ends_s: float | None = None
    """Unix time at which the cloud ends the connection.  None: never."""
    messages: Bucket | None = None
    octets: Bucket | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a message."""

    action: Action
    text: str = ""
    code: int = 0
    """The reason code of MQTT 5."""
    wait_s: float = 0.0
    retain: bool = False


_TAKE = Decision("take")


@dataclass(slots=True)
class Policy:
    """The rules of one cloud."""

    profile: Profile
    devices: Devices
    offset_s: float = 0.0
    """How far the cloud's clock is ahead of ours."""
    latest_s: dict[str, float] = field(default_factory=dict)
    """By client id: the last connect."""

    # Connections.

    def login(self, connect: Connect, now_s: float, certificate: str | None = None) -> Admitted:
        """The device that connects.  `certificate`: the name in the one it shows.  Raises `RefusedError`."""
        login, now_s = self.profile.login, now_s + self.offset_s
        version = {4: "3.1.1", 5: "5"}.get(connect.level)
        if version not in login.versions:
            raise RefusedError(BAD_VERSION, f"MQTT {version or connect.level}: {', '.join(login.versions)} is spoken")
        if broken := problem_of_client_id(self.profile, connect.client_id):
            raise RefusedError(BAD_CLIENT_ID, broken.text)
        device, said = self._device(connect)
        self._keep_alive(connect)
        ends_s = self._checked(connect, device, said, now_s, certificate)
        self._not_too_often(connect, now_s)
        if connect.will is not None:
            self._will(connect, device)
        return Admitted(device, ends_s, _bucket(self.profile, "messages_per_s"), _bucket(self.profile, "bytes_per_s"))

    def _device(self, connect: Connect) -> tuple[str, Mapping[str, str]]:
        """The device, and what else its client id says."""
        pattern = _pattern(self.profile.login.client_id, self.profile.login.device, self.devices)
        found = re.fullmatch(pattern, connect.client_id)
        if found is None:
            form = self.profile.login.client_id
            raise RefusedError(BAD_CLIENT_ID, f"client id {connect.client_id!r} has not the form {form}")
        said = found.groupdict()
        device = said["device"]
        if self.devices.keys and device not in self.devices.keys:
            raise RefusedError(NOT_ALLOWED, f"no device is named {device!r}")
        return device, said

    def _keep_alive(self, connect: Connect) -> None:
        least, most = self.profile.limit("keep_alive_min_s"), self.profile.limit("keep_alive_max_s")
        is_wrong = connect.keep_alive_s < (least or 0) or connect.keep_alive_s > (most or 65_535)
        if is_wrong and self.profile.behaviour.keep_alive == "refuse":
            raise RefusedError(NOT_ALLOWED, f"a keep-alive of {connect.keep_alive_s} s, allowed are {least} to {most}")

    def _not_too_often(self, connect: Connect, now_s: float) -> None:
        least_s = self.profile.limit("connect_interval_s")
        before_s, self.latest_s[connect.client_id] = self.latest_s.get(connect.client_id, -1e9), now_s
        if least_s is not None and now_s - before_s < least_s:
            text = f"connected {now_s - before_s:.2f} s ago, at least {least_s:g} s are required"
            raise RefusedError(TOO_OFTEN, text)

    def _will(self, connect: Connect, device: str) -> None:
        assert connect.will is not None
        if not self.profile.allows("will"):
            raise RefusedError(NOT_ALLOWED, "there is no last will here")
        if problem := self.topic_problem(device, connect.will.topic):
            raise RefusedError(NOT_ALLOWED, f"the last will: {problem}")

    def _checked(
        self, connect: Connect, device: str, said: Mapping[str, str], now_s: float, certificate: str | None
    ) -> float | None:
        """When the login ends."""
        key = self.devices.keys.get(device, "")
        if first_of(connect.properties, AUTH_METHOD) is not None:
            return self._token(connect, device, key, now_s)
        self._username(connect, device)
        password = (connect.password or b"").decode(errors="replace")
        if not key:
            if certificate is not None and certificate != device and self.profile.login.password == "none":
                raise RefusedError(NOT_ALLOWED, f"the certificate is that of {certificate!r}")
            return None
        match self.profile.login.password:
            case "sas":
                return self._sas(device, key, password, now_s)
            case "huawei":
                self._huawei(key, password, said["hour"], now_s)
            case "tencent":
                return self._tencent(key, password, connect.username or "", now_s)
            case "alibaba":
                wanted = signing.alibaba_password(key, device, device, self.devices.product, said["millis"])
                _equal(wanted, password)
            case "none":
                return None
            case _:
                _equal(key, password)
        return None

    def _username(self, connect: Connect, device: str) -> None:
        template = self.profile.login.username
        if template is None:
            return
        pattern = _pattern(template, re.escape(device), self.devices)
        if re.fullmatch(pattern, connect.username or "") is None:
            raise RefusedError(BAD_LOGIN, f"user name {connect.username!r} has not the form {template}")

    def _token(self, connect: Connect, device: str, key: str, now_s: float) -> float:
        """Enhanced authentication (MQTT 5, 4.12) with a web token: of this device, signed with its key, not ended."""
        method, token = (first_of(connect.properties, each) for each in (AUTH_METHOD, AUTH_DATA))
        if method not in self.profile.login.methods:
            known = ", ".join(self.profile.login.methods) or "none"
            raise RefusedError(BAD_METHOD, f"the authentication method {method!r}, known are {known}")
        text = token.decode(errors="replace") if isinstance(token, bytes) else ""
        claims = claims_of(text)
        if key and not signing.is_signed_with(text, key):
            raise RefusedError(BAD_LOGIN, "the token is not signed for this cloud")
        if claims.get("sub") != device:
            raise RefusedError(NOT_ALLOWED, f"the token is that of {claims.get('sub')!r}")
        ends_s = claims.get("exp")
        if not isinstance(ends_s, int | float) or ends_s <= now_s:
            raise RefusedError(NOT_ALLOWED, "the token has ended by the clock here, or states no end")
        return float(ends_s)

    def _sas(self, device: str, key: str, password: str, now_s: float) -> float:
        said = parse_qs(password.removeprefix("SharedAccessSignature "))
        try:
            ends_s = int(said.get("se", ["0"])[0])
        except ValueError:
            ends_s = 0
        _equal(signing.sas_token(f"{self.devices.host}/devices/{device}", key, ends_s), password)
        if ends_s <= now_s:
            raise RefusedError(NOT_ALLOWED, f"the token ended {now_s - ends_s:.0f} s ago by the clock here")
        return float(ends_s)

    def _huawei(self, key: str, password: str, hour: str, now_s: float) -> None:
        _equal(signing.huawei_password(key, hour), password)
        near = {f"{datetime.fromtimestamp(now_s + off, UTC):%Y%m%d%H}" for off in (-3600, 0, 3600)}
        if hour not in near:
            raise RefusedError(NOT_ALLOWED, f"the hour {hour} is not now by the clock here")

    def _tencent(self, key: str, password: str, username: str, now_s: float) -> float:
        _equal(signing.tencent_password(key, username), password)
        ends_s = float(username.rpartition(";")[2])
        if ends_s <= now_s:
            raise RefusedError(NOT_ALLOWED, f"the login ended {now_s - ends_s:.0f} s ago by the clock here")
        return ends_s

    # Messages.

    def topic_problem(self, device: str, topic: str) -> str:
        """Why the device may not publish there.  Empty: it may."""
        topics = self.profile.topics
        templates = [topics.publish, *([topics.things] if topics.things else [])]
        fields = Devices({device: ""}, self.devices.host, self.devices.product)
        if not any(re.fullmatch(_pattern(each, re.escape(device), fields), topic, re.DOTALL) for each in templates):
            filters = (filled(each, {"device": device, "product": self.devices.product}) for each in topics.replies)
            if not any(matches(each, topic) for each in filters):
                return f"topic `{topic}` is none that a device may publish to"
        counted = topic
        if topics.properties == "bag":
            counted = topic.rpartition("/")[0]
        broken = problem_of_topic(self.profile, counted)
        return broken.text if broken else ""

    def hears(self, device: str, topic_filter: str) -> bool:
        """Whether the device may subscribe to this filter."""
        return Wire(self.profile, Who(device, self.devices.host, self.devices.product)).hears(topic_filter)

    def decide(self, who: Admitted, message: Publish, now_s: float) -> Decision:
        """What happens to a message."""
        does = self.profile.behaviour
        most_qos = self.profile.limit("qos")
        if message.qos > (2 if most_qos is None else most_qos):
            text = f"QoS {message.qos} is not supported"
            return Decision("silence", text) if does.qos_2 == "silence" else Decision("close", text, 0x9B)
        if problem := self.topic_problem(who.device, message.topic):
            return Decision("refuse" if does.bad_topic == "refuse" else "close", problem, 0x90)
        if problem := self._too_large(message):
            return Decision("refuse" if does.over_size == "refuse" else "close", problem, 0x95)
        if message.retain and not self.profile.allows("retain") and does.retain == "close":
            return Decision("close", "retained messages are not supported", 0x9A)
        rate = self._rate(who, message, now_s)
        if rate.action != "take":
            return rate
        keeps = message.retain and self.profile.allows("retain") and does.retain == "keep"
        return Decision("take", wait_s=rate.wait_s, retain=keeps)

    def _too_large(self, message: Publish) -> str:
        most, packet = self.profile.limit("payload_bytes"), self.profile.limit("packet_bytes")
        if most is not None and len(message.payload) > most:
            return f"a payload of {len(message.payload)} bytes, {self.profile.title} takes {most:.0f}"
        if packet is not None and message.size > packet:
            return f"a packet of {message.size} bytes, {self.profile.title} takes {packet:.0f}"
        retained = self.profile.limit("retained_bytes")
        if retained is not None and message.retain and len(message.payload) > retained:
            return f"a retained payload of {len(message.payload)} bytes, {self.profile.title} takes {retained:.0f}"
        return ""

    def _rate(self, who: Admitted, message: Publish, now_s: float) -> Decision:
        does, wait_s = self.profile.behaviour.over_rate, 0.0
        if who.octets is not None:
            wait_s = who.octets.wait_s(message.size, now_s)
            who.octets.take(message.size, now_s)
        if who.messages is None:
            return Decision("take", wait_s=wait_s)
        more_s = who.messages.wait_s(1, now_s)
        if more_s <= 0 or does in ("delay", "nothing"):
            who.messages.take(1, now_s)
            return Decision("take", wait_s=max(wait_s, more_s if does == "delay" else 0.0))
        text = f"more than {who.messages.per_s:g} messages/s"
        return Decision({"discard": "silence", "refuse": "refuse"}.get(does, "close"), text, 0x97)  # type: ignore[arg-type]


def _bucket(profile: Profile, name: str) -> Bucket | None:
    """A second's worth at once, and so much per second."""
    per_s = profile.limit(name)
    return None if per_s is None else Bucket(per_s, per_s)


def _equal(wanted: str, given: str) -> None:
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        raise RefusedError(BAD_LOGIN, "the password is not that of the device")


def _pattern(template: str, device: str, devices: Devices) -> str:
    """A regular expression for what a template may become."""
    parts = {
        "device": f"(?P<device>{device})", "product": re.escape(devices.product), "host": re.escape(devices.host),
        "hour": r"(?P<hour>\d{10})", "millis": r"(?P<millis>\d+)", "nonce": r"[A-Za-z0-9]+", "expiry": r"\d+",
        "secure": "[23]", "topic": ".+", "properties": ".*",
    }  # fmt: skip
    found = re.split(r"\{([a-z_]+)\}", template)
    once, text = set[str](), ""
    for n, part in enumerate(found):
        if n % 2 == 0:
            text += re.escape(part)
        else:
            text += f"(?P={part})" if part in once and "(?P<" in parts[part] else parts[part]
            once.add(part)
    return text
