"""What a message of ours looks like at a cloud: topic, properties, retain flag; and why the cloud would refuse it.

The outbox keeps messages with our topics.  Only a session sends the cloud's, so a change of the cloud changes nothing
that is stored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from msgspec.structs import replace

from gateway.model import Message
from gateway.profiles.names import Who, filled
from gateway.profiles.table import Profile

_MOST_KNOWN = 10_000


@dataclass(slots=True)
class Wire:
    """One device's way of writing to one cloud.  It has the form of a `LateStage`."""

    profile: Profile
    who: Who
    of_values: str | None = None
    """Another template for messages with values, instead of the profile's."""
    _known: dict[tuple[str, bool], str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether messages go out as they are."""
        topics = self.profile.topics
        written = self.of_values or topics.publish
        return written == topics.publish == "{topic}" and topics.properties == "user" and self.profile.allows("retain")

    def dress(self, message: Message) -> Message:
        """The message as it is sent."""
        topics = self.profile.topics
        topic = self.topic_of(message.topic, has_values=bool(message.stream))
        if topics.properties == "bag" and not topic.startswith("$"):
            topic += bag_of(message)
        retain = message.retain and self.profile.allows("retain")
        if topic == message.topic and retain == message.retain:
            return message
        return replace(message, topic=topic, retain=retain)

    def sent(self, message: Message) -> None:
        """Nothing is counted."""

    def _reply_of(self, topic: str) -> str:
        """The topic, if it is one where the cloud waits for answers.  Those of values never are."""
        plain = f"${topic[3:]}" if topic.startswith("%24") else topic
        replies = (filled(each, self.who.fields).removesuffix("#") for each in self.profile.topics.replies)
        return plain if plain.startswith(("$", "/")) and any(map(plain.startswith, replies)) else ""

    def hears(self, topic_filter: str) -> bool:
        """Whether the cloud takes a subscription to this filter: one with topics of its own takes no other."""
        if self.profile.topics.publish == "{topic}":
            return True
        answers = (filled(each, self.who.fields).removesuffix("#") for each in self.profile.topics.answers)
        return any(map(topic_filter.startswith, answers))

    def topic_of(self, topic: str, *, has_values: bool = True) -> str:
        """The cloud's topic for one of ours, without a property bag."""
        known = self._known.get((topic, has_values))
        if known is None and not has_values and (reply := self._reply_of(topic)):
            return reply
        if known is None:
            template = (self.of_values if has_values else None) or self.profile.topics.publish
            known = filled(template, {**self.who.fields, "topic": topic.removeprefix("/"), "properties": ""})
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[topic, has_values] = known
        return known


def bag_of(message: Message) -> str:
    """Azure IoT Hub's property bag: content type and encoding, our topic, and what would be user properties."""
    pairs = [("$.ct", message.content_type), ("$.ce", "utf-8"), ("topic", message.topic), *message.properties]
    if not message.content_type.endswith("json"):
        pairs = [pair for pair in pairs if pair[0] != "$.ce"]
    return "&".join(f"{quote(key, safe='$.-_')}={quote(value, safe='')}" for key, value in pairs if value)


def read_bag(text: str) -> Mapping[str, str]:
    """The pairs of a property bag, still encoded as they are."""
    return dict(pair.partition("=")[::2] for pair in text.split("&") if pair)


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that something does not keep."""

    limit: str
    """Its name in `LIMITS`, or `topic`."""
    text: str
    """What is wrong, with the numbers."""


def slashes_of(profile: Profile, topic: str) -> int:
    """How many slashes count."""
    free = re.match(profile.topics.free, topic) if profile.topics.free else None
    return topic[free.end() if free else 0 :].count("/")


def problem_of_topic(profile: Profile, topic: str) -> Broken | None:
    """Why the cloud refuses a topic."""
    most, slashes = profile.limit("topic_slashes"), slashes_of(profile, topic)
    if most is not None and slashes > most:
        return Broken("topic_slashes", f"topic `{topic}` has {slashes} slashes, {profile.title} allows {most:g}")
    size, longest = len(topic.encode(errors="replace")), profile.limit("topic_bytes")
    if longest is not None and size > longest:
        return Broken("topic_bytes", f"topic `{topic[:60]}…` has {size} bytes, {profile.title} allows {longest:g}")
    if found := sorted(set(topic) & set(profile.topics.forbidden)):
        told = " and ".join(map(repr, found))
        return Broken("topic", f"topic `{topic}` contains {told}, which {profile.title} does not accept")
    return None


def problem_of_client_id(profile: Profile, client_id: str) -> Broken | None:
    """Why the cloud refuses a client id."""
    size, longest = len(client_id.encode()), profile.limit("client_id_bytes")
    if longest is not None and size > longest:
        return Broken("client_id_bytes", f"client id has {size} bytes, {profile.title} allows {longest:g}")
    return None


def problem_of_device(profile: Profile, device: str) -> Broken | None:
    """Why the cloud has no device with this name."""
    if re.fullmatch(profile.login.device, device):
        return None
    form = profile.login.device
    return Broken("device", f"{device!r} is no name of a device at {profile.title}: it must match {form}")
