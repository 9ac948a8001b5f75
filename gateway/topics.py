"""Topic templates: `factory/{site}/{line}/{machine}` and what may stand in them.

Values from a server may hold anything; what MQTT forbids in a topic name or gives a meaning to (`/`, `+`, `#`, NUL and
other control characters, a leading `$`) is percent-encoded, so different values stay different topics (MQTT 5, 4.7).
"""

import re
from collections.abc import Iterable, Mapping

MAX_TOPIC_BYTES = 65_535

_FIELD = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[/+#%\x00-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")


def fields_of(template: str) -> tuple[str, ...]:
    """The field names a template uses, in order."""
    return tuple(_FIELD.findall(template))


def problems_of(
    template: str, known: Iterable[str], max_levels: int | None = None, max_bytes: int = MAX_TOPIC_BYTES
) -> list[str]:
    """What is wrong with a template, in sentences; nothing when it is fine.

    Fields never add a level, so levels are known beforehand; of the bytes only those outside the fields are.
    """
    allowed = sorted(set(known))
    problems = [
        f"{{{name}}} is not a field here: allowed are {', '.join(f'{{{a}}}' for a in allowed)}"
        for name in fields_of(template)
        if name not in allowed
    ]
    text = _FIELD.sub("x", template)
    if "{" in text or "}" in text:
        problems.append("a brace is left open or closed twice: write {field}")
    if re.search(r"[+#\x00]", text):
        problems.append("a topic to publish to must not contain '+', '#' or NUL")
    if not text or text.startswith("$"):
        problems.append("a topic must not be empty or begin with '$'")
    if len(text.encode()) > max_bytes:
        problems.append(f"a topic has at most {max_bytes} bytes")
    if max_levels is not None and len(text.split("/")) > max_levels:
        problems.append(f"a topic has at most {max_levels} levels here, this one has {len(text.split('/'))}")
    return problems


def escape(value: str) -> str:
    """One level of a topic: what MQTT forbids there is percent-encoded as UTF-8; nothing at all becomes `_`."""
    if not value:
        return "_"
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode(errors="replace")), value)


def expand(template: str, fields: Mapping[str, str]) -> str:
    """The topic of one tag.  Raises `KeyError` for a field that is not there: validation came first."""
    topic = _FIELD.sub(lambda match: escape(fields[match[1]]), template)
    return f"%24{topic[1:]}" if topic.startswith("$") else topic


def without_field(template: str, name: str) -> str:
    """The template without the levels that use a field; `_` when none is left."""
    return "/".join(level for level in template.split("/") if f"{{{name}}}" not in level) or "_"
