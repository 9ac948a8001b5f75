"""Topic templates such as `factory/{site}/{line}/{machine}`, and the values that fill them.

Values from a server may contain anything.  Characters that MQTT forbids in a topic name or gives a meaning to are
percent-encoded, so that different values give different topics: `/`, `+`, `#`, a leading `$`, control characters and
other code points over which a broker may cut the connection (MQTT 5, 1.5.4 and 4.7).  So are the characters that a
broker forbids in addition.  If a topic would be too long, its longest levels are cut and get a hash of the whole level.
So every value gives a topic that the broker accepts.  The template is checked before anything runs.

The field `path` alone may have any number of levels: slashes in it separate them, and an empty one is left out.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_TOPIC_BYTES = 65_535
SHORT_BYTES = 16
"""The shortest length of a cut level; the hash takes most of it."""

PATH = "path"
"""The field of which slashes make levels."""
_PATH_LEVEL = f"{{{PATH}}}"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = "\x00-\x1f\x7f-\x9f\ufeff\ud800-\udfff" + _NONCHARACTERS
_FIELD = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(f"[/+#%{_FORBIDDEN}]")
_NOT_IN_TEMPLATE = re.compile(f"[+#{_FORBIDDEN}]")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a broker beyond those of MQTT."""

    max_bytes: int = MAX_TOPIC_BYTES
    forbidden: str = ""
    """Characters that the broker does not accept in a topic."""
    max_levels: int | None = None


ANY_BROKER = Rules()


def fields_of(template: str) -> tuple[str, ...]:
    """The field names of a template, in order."""
    return tuple(_FIELD.findall(template))


def problems_of(template: str, known: Iterable[str], rules: Rules = ANY_BROKER) -> list[str]:
    """The mistakes of a template, as sentences.  Empty: none.

    Fields never add levels, so the number of levels is known beforehand; only `path` does, and has no place where that
    is limited.  Of the bytes, only those are counted that cannot be cut.
    """
    allowed = sorted(set(known))
    problems = [
        f"{{{name}}} is not a field here: allowed are {', '.join(f'{{{a}}}' for a in allowed)}"
        for name in fields_of(template)
        if name not in allowed
    ]
    text = _FIELD.sub("x", template)
    if "{" in text or "}" in text:
        problems.append("a brace is not closed or not opened: write {field}")
    if _NOT_IN_TEMPLATE.search(text):
        problems.append("a topic to publish to must not contain '+', '#' or control characters")
    if forbidden := sorted(set(text) & set(rules.forbidden)):
        problems.append(f"a topic must not contain {' or '.join(map(repr, forbidden))} here")
    if not text or text.startswith("$"):
        problems.append("a topic must not be empty or begin with '$'")
    if len(_FIELD.sub("x" * SHORT_BYTES, template).encode(errors="replace")) > rules.max_bytes:
        problems.append(f"a topic has at most {rules.max_bytes} bytes, {SHORT_BYTES} of them for each field")
    levels = len(text.split("/"))
    if PATH in fields_of(template):
        if any(_PATH_LEVEL in level and level != _PATH_LEVEL for level in template.split("/")):
            problems.append("{path} may have several levels: write it between slashes")
        if rules.max_levels is not None:
            problems.append(f"{{path}} may have any number of levels, and a topic has at most {rules.max_levels} here")
    if rules.max_levels is not None and levels > rules.max_levels:
        problems.append(f"a topic has at most {rules.max_levels} levels here, this one has {levels}")
    return problems


def escape(value: str, forbidden: str = "") -> str:
    """One level of a topic: forbidden characters are percent-encoded as UTF-8; an empty level becomes `_`."""
    if not value:
        return "_"
    escaped = _UNSAFE.sub(_encoded, value)
    return re.sub(f"[{re.escape(forbidden)}]", _encoded, escaped) if forbidden else escaped


def _encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="replace"))


def expand(template: str, fields: Mapping[str, str], rules: Rules = ANY_BROKER) -> str:
    """The topic of one tag.  Raises `KeyError` for an unknown field, which the earlier checks exclude."""
    levels: list[str] = []
    for level in template.split("/") if _PATH_LEVEL in template else [template]:
        if level == _PATH_LEVEL:
            levels += [escape(name, rules.forbidden) for name in fields[PATH].split("/") if name]
        else:
            levels.append(_FIELD.sub(lambda match: escape(fields[match[1]], rules.forbidden), level))
    topic = "/".join(levels) or "_"
    topic = f"%24{topic[1:]}" if topic.startswith("$") else topic
    return topic if len(topic) * 4 <= rules.max_bytes else shortened(topic, rules.max_bytes)


def shortened(topic: str, max_bytes: int) -> str:
    """The topic with its longest levels cut until it fits, as far as levels of `SHORT_BYTES` allow."""
    levels = topic.split("/")
    while (excess := len(topic.encode()) - max_bytes) > 0:
        longest = max(levels, key=lambda level: len(level.encode()))
        size = len(longest.encode())
        if size <= SHORT_BYTES:
            break
        levels[levels.index(longest)] = _cut(longest, max(SHORT_BYTES, size - excess))
        topic = "/".join(levels)
    return topic


def _cut(level: str, size_bytes: int) -> str:
    """At most `size_bytes` of a level: its beginning, and a hash of the whole level."""
    digest = hashlib.blake2b(level.encode(), digest_size=5).hexdigest()
    head = level.encode()[: size_bytes - len(digest) - 1].decode(errors="ignore")
    return f"{re.sub('%[0-9A-F]?$', '', head)}~{digest}"


def without_field(template: str, name: str) -> str:
    """The template without the levels that contain a field; `_` when none is left."""
    return "/".join(level for level in template.split("/") if f"{{{name}}}" not in level) or "_"
