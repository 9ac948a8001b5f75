"""Every limit of every profile, as the emulated cloud keeps it: what is at the limit passes, what is above does not.

A case is a function of a profile and the value of its limit: what becomes of the value, and of one more.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from gateway.emulator import packets as mqtt
from gateway.emulator.cloud import Cloud
from gateway.emulator.connection import Connection
from gateway.emulator.policy import Devices, Policy, RefusedError
from gateway.profiles import Profile, names_of_profiles, profile_named
from gateway.profiles.names import Who, credentials_of, filled
from gateway.profiles.wire import Wire, problem_of_topic

WHO = Who("edge-1", "h.example.com", "P1", is_tls=False)
NOW_S = 1_796_000_000.0
Outcome = tuple[str, str]
TAKEN = "take"


def policy_of(profile: Profile) -> Policy:
    return Policy(profile, Devices({WHO.device: ""}, WHO.host, WHO.product))


def connect(profile: Profile, **changes: object) -> mqtt.Connect:
    made = credentials_of(profile, WHO, None, NOW_S)
    level = 5 if profile.login.versions[0] == "5" else 4
    least = int(profile.limit("keep_alive_min_s") or 0)
    plain = mqtt.Connect(level, made.client_id, made.username, None, max(60, least), True, None)
    return replace(plain, **changes)  # type: ignore[arg-type]


def login(profile: Profile, **changes: object) -> str:
    try:
        policy_of(profile).login(connect(profile, **changes), NOW_S)
    except RefusedError as error:
        return f"refused: {error}"
    return TAKEN


def topic_of(profile: Profile) -> str:
    return Wire(profile, WHO).topic_of("a")


def publish(profile: Profile, **changes: object) -> mqtt.Publish:
    return replace(mqtt.Publish(topic_of(profile), b" ", 1, False, 1), **changes)  # type: ignore[arg-type]


def decided(profile: Profile, *messages: mqtt.Publish) -> str:
    """What happens to the last one, when all come at once."""
    policy = policy_of(profile)
    who = policy.login(connect(profile), NOW_S)
    decisions = [policy.decide(who, message, 1.0) for message in messages]
    return f"{decisions[-1].action}{' later' if decisions[-1].wait_s else ''}"


def of_size(name: str) -> Callable[[Profile, int], Outcome]:
    def case(profile: Profile, most: int) -> Outcome:
        retain = name == "retained_bytes"
        if name == "packet_bytes":
            sizes = [publish(profile, size=size) for size in (most, most + 1)]
        else:
            sizes = [publish(profile, payload=b" " * size, retain=retain) for size in (most, most + 1)]
        return decided(profile, sizes[0]), decided(profile, sizes[1])

    return case


def of_topic(pad: str) -> Callable[[Profile, int], Outcome]:
    def case(profile: Profile, most: int) -> Outcome:
        def outcome(count: int) -> str:
            base = filled(profile.topics.publish, {**WHO.fields, "topic": "a", "properties": ""})
            has = base.count("/") if pad == "/b" else len(base)
            longer = base + pad * (count - has)
            if "{topic}" not in profile.topics.publish:  # fixed: no topic of ours gets there
                longer = "a" + pad * (count - (pad == "b"))
                return "close" if problem_of_topic(profile, longer) else TAKEN
            return decided(profile, publish(profile, topic=longer))

        return outcome(most), outcome(most + 1)

    return case


def client_id(profile: Profile, most: int) -> Outcome:
    def outcome(size: int) -> str:
        text = login(profile, client_id="d" * size)
        return "close" if "client id has" in text else TAKEN  # else: unknown here, which is no matter of length

    return outcome(most), outcome(most + 1)


def qos(profile: Profile, most: int) -> Outcome:
    return decided(profile, publish(profile, qos=most)), decided(profile, publish(profile, qos=most + 1))


def retain(profile: Profile, allowed: int) -> Outcome:
    policy = policy_of(profile)
    kept = policy.decide(policy.login(connect(profile), NOW_S), publish(profile, retain=True), 1.0).retain
    return TAKEN if kept == bool(allowed) else "kept otherwise", "not kept"


def will(profile: Profile, allowed: int) -> Outcome:
    found = login(profile, will=mqtt.Will(topic_of(profile), b"gone", 1, False))
    return (TAKEN if (found == TAKEN) == bool(allowed) else found), "refused"


def keep_alive(step: int) -> Callable[[Profile, int], Outcome]:
    def case(profile: Profile, most: int) -> Outcome:
        above = login(profile, keep_alive_s=most + step)
        return login(profile, keep_alive_s=most), above if profile.behaviour.keep_alive == "refuse" else "bound"

    return case


def rate(profile: Profile, per_s: int) -> Outcome:
    message = publish(profile)
    above = decided(profile, *[message] * (per_s + 1))
    return decided(profile, *[message] * per_s), above


def bytes_rate(profile: Profile, per_s: int) -> Outcome:
    half = publish(profile, size=per_s // 4)
    return decided(profile, *[half] * 4), decided(profile, *[half] * 6)


def interval(profile: Profile, least_s: float) -> Outcome:
    def outcome(after_s: float) -> str:
        policy = policy_of(profile)
        policy.login(connect(profile), NOW_S)
        try:
            policy.login(connect(profile), NOW_S + after_s)
        except RefusedError as error:
            return f"refused: {error}"
        return TAKEN

    return outcome(least_s), outcome(least_s - 0.1)


class Line(asyncio.Transport):
    """What the cloud writes; nothing is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.wrote = b""
        self.is_closed = False

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self.wrote += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def pause_reading(self) -> None:
        """What comes is read when it is given."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def packet(first: int, body: bytes) -> bytes:
    size, encoded = len(body), b""
    while size >= 128:
        encoded, size = encoded + bytes([size % 128 | 0x80]), size // 128
    return bytes([first]) + encoded + bytes([size]) + body


def props(level: int, data: bytes = b"") -> bytes:
    return bytes([len(data)]) + data if level == 5 else b""


def talk(profile: Profile, *packets: bytes, expiry_s: int = 0) -> tuple[Cloud, Line]:
    """A connection without a network, after these packets."""

    async def body() -> tuple[Cloud, Line]:
        cloud, line = Cloud(policy_of(profile)), Line()
        connection = Connection(cloud)
        connection.connection_made(line)
        made = connect(profile)
        flags, name = 2, b""
        if made.username is not None:
            flags, name = flags | 0x80, text(made.username)
        asked = b"\x11" + expiry_s.to_bytes(4, "big") if expiry_s else b""
        head = text("MQTT") + bytes([made.level, flags]) + made.keep_alive_s.to_bytes(2, "big")
        connection.data_received(packet(0x10, head + props(made.level, asked) + text(made.client_id) + name))
        for each in packets:
            connection.data_received(each)
        connection.connection_lost(None)
        return cloud, line

    return asyncio.run(body())


def level_of(profile: Profile) -> int:
    return 5 if profile.login.versions[0] == "5" else 4


def subscriptions(profile: Profile, most: int) -> Outcome:
    home = (
        filled(profile.topics.answers[0], WHO.fields).removesuffix("#") if profile.topics.publish != "{topic}" else ""
    )

    def outcome(count: int) -> str:
        asked = [packet(0x82, b"\0\1" + props(level_of(profile)) + text(f"{home}a{n}") + b"\1") for n in range(count)]
        cloud, _ = talk(profile, *asked)
        return "refused" if cloud.counts["refused"] else TAKEN

    return outcome(most), outcome(most + 1)


def aliases(profile: Profile, most: int) -> Outcome:
    def outcome(alias: int) -> str:
        body = text("a") + b"\0\1" + props(5, b"\x23" + alias.to_bytes(2, "big")) + b"x"
        cloud, _ = talk(profile, packet(0x32, body))
        return TAKEN if cloud.counts["taken"] else "close"

    return outcome(most), outcome(most + 1)


def in_flight(profile: Profile, most: int) -> Outcome:
    """QoS 2, which AWS never acknowledges.  What acknowledges at once has told how many it takes."""
    if profile.behaviour.qos_2 != "silence":
        _, line = talk(profile)
        return TAKEN, "announced" if b"\x21" + most.to_bytes(2, "big") in line.wrote else TAKEN

    def outcome(count: int) -> str:
        open_ = [packet(0x34, text("a") + n.to_bytes(2, "big") + props(5) + b"x") for n in range(1, count + 1)]
        cloud, _ = talk(profile, *open_)
        return "close" if cloud.counts["closed"] else TAKEN

    return outcome(most), outcome(most + 1)


def message_expiry(profile: Profile, most: int) -> Outcome:
    def outcome(asked_s: int) -> str:
        kept = text("a") + b"\0\1" + props(5, b"\x02" + asked_s.to_bytes(4, "big")) + b"x"
        cloud, _ = talk(profile, packet(0x33, kept))
        left = mqtt.first_of(cloud.retained["a"].properties, mqtt.MESSAGE_EXPIRY)
        return TAKEN if left == asked_s else f"bound to {left}"

    return outcome(most), outcome(most + 1)


def session_expiry(profile: Profile, most: int) -> Outcome:
    def outcome(asked_s: int) -> str:
        _, line = talk(profile, expiry_s=asked_s)
        return "bound" if b"\x11" + most.to_bytes(4, "big") in line.wrote else TAKEN

    return outcome(most), outcome(most + 1)


CASES: Mapping[str, Callable[[Profile, int], Outcome]] = {
    "payload_bytes": of_size("payload_bytes"), "packet_bytes": of_size("packet_bytes"),
    "retained_bytes": of_size("retained_bytes"), "client_id_bytes": client_id, "topic_bytes": of_topic("b"),
    "topic_slashes": of_topic("/b"), "qos": qos, "retain": retain, "will": will, "keep_alive_min_s": keep_alive(-1),
    "keep_alive_max_s": keep_alive(1), "in_flight": in_flight, "messages_per_s": rate, "bytes_per_s": bytes_rate,
    "connect_interval_s": interval, "topic_aliases": aliases, "subscriptions": subscriptions,
    "message_expiry_max_s": message_expiry, "session_expiry_max_s": session_expiry,
}  # fmt: skip
OF_TIME = {"clock_skew_s"}
"""Logins hold their own time: `test_emulator.py` has one that is too old for each cloud."""
ALL = [(name, limit) for name in names_of_profiles() for limit in profile_named(name).limits if limit not in OF_TIME]


@pytest.mark.parametrize(("name", "limit"), ALL, ids=[f"{name} {limit}" for name, limit in ALL])
def test_what_is_at_a_limit_passes_and_what_is_above_does_not(name: str, limit: str) -> None:
    profile = profile_named(name)
    value = profile.limit(limit)
    assert value is not None
    at, above = CASES[limit](profile, int(value) if limit != "connect_interval_s" else value)  # type: ignore[arg-type]
    assert (at, above != TAKEN) == (TAKEN, True), f"at the limit: {at}; above: {above}"
