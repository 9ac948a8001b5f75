"""Subjects of NATS from topics: levels become tokens.  Pure.

What a subject must not contain is already escaped in topics of a NATS route (`FORBIDDEN`, by `gateway/config/fitting`),
and refused in templates.  What still has it cannot be published.
"""

import re
from functools import lru_cache

from gateway.config.nats import FORBIDDEN, MOST_SUBJECT_BYTES

_BAD = re.compile(rf"[{re.escape(FORBIDDEN)}\x00-\x20\x7f]")


@lru_cache(10_000)
def subject_of(topic: str) -> str:
    """`factory/line-1/press` as `factory.line-1.press`; an empty level becomes `_`.

    Raises `ValueError` with why there is none.
    """
    if bad := _BAD.search(topic):
        raise ValueError(f"the topic {topic[:80]!r} holds {bad[0]!r}, which a subject cannot")
    subject = ".".join(level or "_" for level in topic.split("/")) if topic else ""
    if not subject:
        raise ValueError("the topic is empty")
    try:
        size = len(subject.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the topic {topic[:80]!r} is not text that UTF-8 can hold") from error
    if size > MOST_SUBJECT_BYTES:
        raise ValueError(f"the topic {topic[:80]!r} … has {size} bytes, a subject at most {MOST_SUBJECT_BYTES}")
    return subject
