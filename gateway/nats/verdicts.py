"""What JetStream's answers mean.  A pure table, like that of MQTT's reason codes.

What a stream's settings decide today they may decide otherwise tomorrow, so such refusals are "for now": keeping a
message costs disk space, giving it up loses it.  Codes are those of the server's `errors.json` (`err_code`).
"""

import json

from gateway.delivery import DELIVERED, Outcome, Verdict

_STORED = Outcome(Verdict.DELIVERED, "delivered", "the stream has it", 0)
_LATER: dict[int, tuple[str, str]] = {
    10002: ("quota_exceeded", "the account has used up its storage"),
    10023: ("quota_exceeded", "the server has no room for more"),
    10028: ("quota_exceeded", "the server has no memory for more"),
    10047: ("quota_exceeded", "the server has no storage for more"),
    10060: ("implementation", "another stream than nats.stream takes this subject"),
    10077: ("quota_exceeded", "the stream does not store it"),
    10109: ("implementation", "the stream is sealed"),
    10165: ("implementation", "the stream does not accept the expiry"),
    10166: ("implementation", "the stream lets no message expire (allow_msg_ttl): remove expiry, or allow it there"),
    10167: ("quota_exceeded", "messages come too fast for the stream"),
}
_NEVER: dict[int, tuple[str, str]] = {10054: ("too_large", "the message is larger than the stream accepts")}
WITHOUT_LEADER = frozenset((10008, 10009, 10039, 10074, 10076))
"""Refusals that concern the moment: no leader, not enabled yet."""
NO_RESPONDERS = 503

_NO_LEADER = Outcome(Verdict.LATER, "no_leader", "the stream has no leader for longer than ack_timeout", NO_RESPONDERS)


def outcome_of(payload: bytes) -> Outcome:
    """The outcome of an acknowledgement.  Raises `ValueError` for what is none."""
    if payload.startswith(b'{"stream":'):
        return _STORED
    answer = json.loads(payload)
    refused = answer.get("error") if isinstance(answer, dict) else None
    if refused is None and isinstance(answer, dict) and "seq" in answer:
        return DELIVERED
    if not isinstance(refused, dict):
        raise ValueError("an acknowledgement that says nothing")  # noqa: TRY004 - the peer's mistake
    code, text = int(refused.get("err_code", 0)), str(refused.get("description", ""))
    known = _NEVER.get(code) or _LATER.get(code) or ("unknown", f"JetStream refuses it with code {code}")
    verdict = Verdict.NEVER if code in _NEVER else Verdict.LATER
    return Outcome(verdict, known[0], f"{known[1]}: {text}" if text else known[1], code)


def no_stream(subject: str, is_certain: bool) -> Outcome:
    """Nobody takes this subject."""
    less = "" if is_certain else ", or it has no leader"
    detail = f"no JetStream stream takes {subject}{less}: add one with such subjects"
    return Outcome(Verdict.LATER, "no_stream", detail, NO_RESPONDERS)


def no_leader() -> Outcome:
    """The stream did not come back in time."""
    return _NO_LEADER


def not_authorized(subject: str) -> Outcome:
    """The server does not let us publish there."""
    return Outcome(Verdict.LATER, "not_authorized", f"the server does not let this login publish to {subject}", 403)


def too_large(size: int, most: int) -> Outcome:
    """Decided here."""
    return Outcome(Verdict.NEVER, "too_large", f"the message needs {size} bytes, the server accepts {most}")


def invalid(why: str) -> Outcome:
    """Decided here."""
    return Outcome(Verdict.NEVER, "topic_invalid", why)
