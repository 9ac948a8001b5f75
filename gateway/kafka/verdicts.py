"""What errors of Kafka mean.  A pure table; codes are those of Kafka's protocol, negative ones librdkafka's own.

What can be tried again (no leader, too few replicas in sync, time-outs) is tried again by librdkafka, in order, and
never gets here.
"""

from gateway.delivery import Outcome, Verdict

TIMED_OUT, PURGED = -192, (-152, -151)
"""Of librdkafka: not acknowledged in time, and given up by us."""
_LATER: dict[int, tuple[str, str]] = {
    -188: ("no_topic", "the cluster does not know the topic: create it"),
    3: ("no_topic", "the cluster does not know the topic: create it"),
    29: ("not_authorized", "the cluster does not let this user write to the topic"),
    31: ("not_authorized", "the cluster does not let this user write"),
    44: ("implementation", "a policy of the cluster refuses it"),
    65: ("not_authorized", "the cluster does not let this user write idempotently"),
    89: ("quota_exceeded", "a quota of the cluster is used up"),
}
_NEVER: dict[int, tuple[str, str]] = {
    10: ("too_large", "the record is larger than the topic accepts"),
    18: ("too_large", "the batch is larger than the topic accepts"),
    17: ("topic_invalid", "the cluster does not accept the topic's name"),
    87: ("payload_invalid", "the cluster does not accept the record"),
}


def outcome_of(code: int, text: str) -> Outcome:
    """The outcome of a record that got this error."""
    known = _NEVER.get(code) or _LATER.get(code) or ("unknown", f"Kafka refuses it with error {code}")
    verdict = Verdict.NEVER if code in _NEVER else Verdict.LATER
    return Outcome(verdict, known[0], f"{known[1]} ({text})" if text else known[1], code)


def too_large(size: int, most: int) -> Outcome:
    """Decided here."""
    return Outcome(Verdict.NEVER, "too_large", f"the record needs {size} bytes, {most} are allowed")
