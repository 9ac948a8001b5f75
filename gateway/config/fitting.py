"""A payload within the limits of its broker: lengths of topics and messages, characters, retained or not."""

from gateway.config.broker import BrokerConfig
from gateway.config.nats import FORBIDDEN, MOST_SUBJECT_BYTES, NATS_SCHEMES
from gateway.config.payload import PayloadConfig
from gateway.profiles import Profile
from gateway.profiles.names import filled


def fitted(broker: BrokerConfig, payload: PayloadConfig) -> PayloadConfig:
    """The payload that goes to this broker.  The same object where its kind and profile change nothing."""
    if broker.url.partition(":")[0] in NATS_SCHEMES:
        return _as_subjects(payload)
    if not broker.is_mqtt:
        return payload.model_copy(update={"retain": False}) if payload.retains else payload
    try:
        profile = broker.table
    except ValueError:  # told where the broker is checked
        return payload
    return payload if profile is None else _within(profile, broker, payload)


def _as_subjects(payload: PayloadConfig) -> PayloadConfig:
    missing = "".join(each for each in FORBIDDEN if each not in payload.topic_escape)
    changes = {
        "topic_escape": payload.topic_escape + missing,
        "max_topic_bytes": min(payload.max_topic_bytes, MOST_SUBJECT_BYTES),
    }
    return payload.model_copy(update={**changes, **({"retain": False} if payload.retains else {})})


def _within(profile: Profile, broker: BrokerConfig, payload: PayloadConfig) -> PayloadConfig:
    changes: dict[str, object] = {}
    longest = profile.limit("topic_bytes")
    template = broker.wire_topic or profile.topics.publish
    if longest is not None and "{topic}" in template:
        fields = {"device": broker.device or "x" * 16, "product": broker.product or "x" * 16, "host": ""}
        around = len(filled(template, {**fields, "topic": "", "properties": ""}).encode())
        if longest - around < payload.max_topic_bytes:
            changes["max_topic_bytes"] = int(longest) - around
    if missing := "".join(each for each in profile.topics.forbidden if each not in payload.topic_escape):
        changes["topic_escape"] = payload.topic_escape + missing
    if (most := profile.limit("payload_bytes")) is not None and most < payload.max_bytes:
        changes["max_bytes"] = int(most)
    if not profile.allows("retain") and payload.retains:
        changes["retain"] = False
    return payload.model_copy(update=changes) if changes else payload
