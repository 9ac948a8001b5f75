"""Whether a configuration keeps to the profiles of its brokers, as far as the file alone shows.  Connects to nothing.

A *problem* is what the cloud refuses for certain: the configuration is then a mistake.  A *warning* is what it accepts
and does otherwise than one might expect.  Rates need numbers of variables, so they are in `gateway/cloud_load.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config import BrokerConfig, Config, PayloadConfig, Route
from gateway.config.broker import BROKER_SCHEMES
from gateway.payload.checks import brokers_of
from gateway.payload.choose import format_of, with_needs_of_format
from gateway.profiles import Profile
from gateway.profiles.names import is_signed
from gateway.profiles.wire import Broken, Wire, problem_of_client_id, problem_of_device, problem_of_topic
from gateway.urls import parse_url
from gateway.yaml_positions import Place, Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found about one broker."""

    place: Place
    text: str
    is_problem: bool = False


def problems_with_clouds(config: Config) -> list[Problem]:
    """What clouds refuse for certain."""
    return [(each.place, each.text) for each in findings(config) if each.is_problem]


def warnings_about_clouds(config: Config) -> list[Problem]:
    """What clouds do otherwise than one might expect."""
    return [(each.place, each.text) for each in findings(config) if not each.is_problem]


_CODECS = {
    "azure-iot-hub": ("iot-hub", "iot-hub-twin"), "huawei-iotda": ("iotda", "iotda-properties"),
    "tencent-iot": ("tencent",), "alibaba-iot": ("alibaba",),
}  # fmt: skip
"""By profile: the codecs of commands that come on its topics."""


def findings(config: Config) -> list[Finding]:
    """All that the file shows."""
    found: list[Finding] = []
    for place, broker in brokers_of(config):
        try:
            profile = broker.table
        except ValueError:  # told where the broker is checked
            continue
        if profile is not None and broker.url:
            found += _about(config, profile, broker, place)
    return found


def _about(config: Config, profile: Profile, broker: BrokerConfig, place: Place) -> Iterator[Finding]:
    route = config.routes[broker.name]
    device = broker.device or broker.client_id
    if device is None:
        device = config.name if len(config.all_brokers) == 1 else f"{config.name}-{broker.name}"
    broker = with_needs_of_format(broker, route.payload)
    yield from _identity(profile, broker, device, place)
    yield from _connection(profile, broker, place)
    yield from _login(profile, broker, place)
    yield from _version(profile, broker, route.payload, place)
    yield from _topics(config, profile, broker, route, device, place)
    yield from _retained(profile, route.payload, place)
    yield from _will(profile, broker, place)
    yield from _commands(config, profile, broker, place)


def _identity(profile: Profile, broker: BrokerConfig, device: str, place: Place) -> Iterator[Finding]:
    key = "device" if broker.device is not None else "client_id" if broker.client_id is not None else ""
    at = (*place, key) if key else place
    for broken in (problem_of_device(profile, device), problem_of_client_id(profile, device)):
        if broken is not None:
            yield Finding(at, _advised(profile, broken), True)
            return


def _connection(profile: Profile, broker: BrokerConfig, place: Place) -> Iterator[Finding]:
    least, most = profile.limit("keep_alive_min_s"), profile.limit("keep_alive_max_s")
    refuses = profile.behaviour.keep_alive == "refuse"
    if not (least or 0) <= broker.keep_alive <= (most or 65_535):
        allowed = f"{least or 0:g} to {most:g} s" if most is not None else f"at least {least:g} s"
        does = "takes" if refuses else "works with"
        text = f"keep-alive of {broker.keep_alive:g} s, {profile.title} {does} {allowed}"
        yield Finding((*place, "keep_alive"), text, refuses)
    if (window := profile.limit("in_flight")) is not None and broker.window > window:
        text = f"{broker.window} publishes without a PUBACK, {profile.title} takes {window:g}"
        yield Finding((*place, "window"), text)
    expiry = profile.limit("message_expiry_max_s")
    if expiry is not None and broker.expiry is not None and broker.expiry > expiry:
        text = f"message expiry of {broker.expiry:g} s, {profile.title} keeps messages for {expiry:g} s at most"
        yield Finding((*place, "expiry"), text)
    url = parse_url(broker.url, BROKER_SCHEMES)
    if url.is_local:  # an emulator, or a tunnel
        return
    port, is_tls = profile.port_of(url.port), url.scheme in ("mqtts", "wss")
    known = ", ".join(str(each.port) for each in profile.login.ports)
    if port is None and url.scheme in ("mqtt", "mqtts"):
        yield Finding((*place, "url"), f"port {url.port}, {profile.title} listens on {known}")
    if not is_tls and all(each.tls for each in profile.login.ports):
        yield Finding((*place, "url"), f"no TLS, {profile.title} takes nothing else: write mqtts://", True)
    protocols = profile.protocols_of(url.port)
    if protocols and not set(protocols) & set(broker.tls.alpn):
        text = f"port {url.port} of {profile.title} needs ALPN {' or '.join(f'`{each}`' for each in protocols)}"
        yield Finding((*place, "tls"), text, True)


def _login(profile: Profile, broker: BrokerConfig, place: Place) -> Iterator[Finding]:
    url = parse_url(broker.url, BROKER_SCHEMES)
    has_key = broker.credentials is not None or broker.password is not None
    has_certificate = broker.tls.certificate is not None
    if url.is_local or has_certificate or profile.login.password == "any":
        return
    if profile.login.password == "none":
        if not has_key:
            yield Finding(place, f"{profile.title} wants a client certificate: set tls.certificate and tls.key")
    elif not has_key:
        how = "credentials.key" if is_signed(profile) else "password"
        yield Finding(place, f"{profile.title} wants a login: set {how}, or tls.certificate")


def _version(profile: Profile, broker: BrokerConfig, payload: PayloadConfig, place: Place) -> Iterator[Finding]:
    spoken = profile.login.versions
    if broker.version == "auto" or broker.version in spoken:
        return
    why = format_of(payload).why_mqtt_5(payload)
    text = f"MQTT {broker.version}, {profile.title} speaks {' and '.join(spoken)}" + (f": {why}" if why else "")
    yield Finding((*place, "version") if "version" in broker.model_fields_set and not why else place, text, True)


def _topics(
    config: Config, profile: Profile, broker: BrokerConfig, route: Route, device: str, place: Place
) -> Iterator[Finding]:
    wire, payload = Wire(profile, broker.who(device), broker.wire_topic), route.payload
    own = broker.payload is not None
    at: Place = (*place, "payload", "topic") if own else ("payload", "topic")
    told = set[str]()
    has_events = any(selection.events is not None for source in config.sources for selection in source.select)
    templates = [payload.topic, *([payload.topic_of_events] if has_events else [])]
    for template in templates:
        longest = format_of(payload).longest_topic(template, payload, False)
        sample = re.sub(r"\{([^{}]*)\}", r"\1", longest)
        broken = problem_of_topic(profile, wire.topic_of(sample))
        if broken is not None and broken.text not in told:
            told.add(broken.text)
            yield Finding(at, _advised(profile, broken), True)
    if broker.presence.topic is not None and format_of(payload).presence is None:
        topic = broker.presence.topic.replace("{gateway}", "gateway")
        broken = problem_of_topic(profile, wire.topic_of(topic, has_values=False))
        if broken is not None:
            yield Finding((*place, "presence", "topic"), _advised(profile, broken), True)


def _retained(profile: Profile, payload: PayloadConfig, place: Place) -> Iterator[Finding]:
    if profile.allows("retain"):
        return
    if payload.retain:
        yield Finding(place, f"retain is asked for, and {profile.title} retains nothing: a consumer gets what comes")
    if format_of(payload).retains_lists:
        text = (
            f"{payload.format} sends what describes its values once, retained, and {profile.title} retains nothing: "
            "a consumer has to keep it"
        )
        yield Finding(place, text)


def _will(profile: Profile, broker: BrokerConfig, place: Place) -> Iterator[Finding]:
    if profile.limit("qos") == 0:
        yield Finding(place, f"{profile.title} takes QoS 0 only: it cannot acknowledge what it has", True)
    if broker.presence.topic is not None and not profile.allows("will"):
        every_s = broker.presence.heartbeat
        text = f"{profile.title} knows no last will: that the gateway has gone shows when no presence comes for"
        yield Finding((*place, "presence"), f"{text} {every_s:g} s")


def _commands(config: Config, profile: Profile, broker: BrokerConfig, place: Place) -> Iterator[Finding]:
    if config.commands is None or profile.topics.publish == "{topic}":
        return
    if config.commands.brokers is not None and broker.name not in config.commands.brokers:
        return
    if any(each.format in _CODECS.get(profile.name, ()) for each in config.commands.codecs):
        return
    own = " or ".join(_CODECS.get(profile.name, ()))
    more = f": commands.codecs with format {own} translates them" if own else ""
    yield Finding(place, f"no commands come from {profile.title}, which has topics of its own{more}")


def _advised(profile: Profile, broken: Broken) -> str:
    advice = profile.advice.get(broken.limit)
    return f"{broken.text}: {advice}" if advice else broken.text
