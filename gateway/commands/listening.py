"""The topics of requests, by codec, and the names in their levels.  Pure.

The topic alone names the requester, since the broker's access list binds it to the user: by the level `{requester}`, or
by the configuration for a topic without that level.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.commands.codec import Codec
from gateway.commands.codecs.choose import CODECS
from gateway.config import CommandsConfig
from gateway.topics import escape

_FIELD = re.compile(r"\{([^{}]*)\}")
NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Listening:
    """One codec at the topics where it listens."""

    name: str
    codec: Codec
    templates: tuple[str, ...]
    """With the name of the gateway in its place."""
    replies: str
    """Template of the topic of answers."""
    requester: str = ""
    """The requester of all messages, if the topic does not name one."""
    lifetime_s: float | None = None

    def at(self, names: Mapping[str, str]) -> "Listening":
        """With what a broker calls this gateway in the place of its fields."""
        templates = tuple(_filled(each, names) for each in self.templates)
        return replace(self, templates=templates, replies=_filled(self.replies, names))

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(_FIELD.sub("+", template) for template in self.templates)

    def names_in(self, topic: str) -> Mapping[str, str] | None:
        """The levels of a topic by field; None: it is no topic of this codec."""
        for template in self.templates:
            if (found := _match(template, topic)) is not None:
                return found
        return None


def listenings(gateway: str, config: CommandsConfig) -> Sequence[Listening]:
    """The native codec, then those of the configuration."""
    own = CODECS[NATIVE]
    found = [Listening(NATIVE, own, _templates(own, own.topic, gateway), config.replies)]
    for each in config.codecs:
        codec = CODECS[each.format]
        found.append(
            Listening(
                each.format, codec, _templates(codec, each.topic or codec.topic, gateway),
                each.replies or codec.replies or config.replies, each.requester or "",
                each.lifetime if each.lifetime is not None else codec.lifetime_s,
            )
        )  # fmt: skip
    return found


def _templates(codec: Codec, topic: str, gateway: str) -> tuple[str, ...]:
    return codec.topics(topic.replace("{gateway}", escape(gateway)))


def _filled(template: str, names: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda found: names.get(found[1], found[0]), template)


def _match(template: str, topic: str) -> Mapping[str, str] | None:
    wanted, levels = template.split("/"), topic.split("/")
    if len(wanted) != len(levels):
        return None
    found: dict[str, str] = {}
    for name, level in zip(wanted, levels, strict=True):
        if (field := _FIELD.fullmatch(name)) is not None:
            found[field[1]] = level
        elif name != level:
            return None
    return found
