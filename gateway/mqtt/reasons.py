"""The meaning of reason codes.  Pure tables.

A PUBACK decides about a message: delivered, offered again later, or never accepted by this broker.  Unknown codes from
0x80 on are refusals "for now": keeping a message costs disk space, giving it up loses it.  The codes are those of MQTT
5, 2.4.  MQTT 3.1.1 has none for a publish, so there a PUBACK always means "delivered".
"""

from gateway.delivery import DELIVERED, Outcome, Verdict

_PUBACK: dict[int, Outcome] = {
    outcome.code: outcome
    for outcome in (
        DELIVERED,
        Outcome(Verdict.DELIVERED, "no_subscribers", "the broker has it, but there is no subscriber", 0x10),
        Outcome(Verdict.LATER, "unspecified", "the broker refused it without a reason", 0x80),
        Outcome(Verdict.LATER, "implementation", "the broker refused it for a reason of its own", 0x83),
        Outcome(Verdict.LATER, "not_authorized", "the broker does not let this client publish to the topic", 0x87),
        Outcome(Verdict.NEVER, "topic_invalid", "the broker does not accept the topic name", 0x90),
        Outcome(Verdict.LATER, "packet_id_in_use", "the broker holds another publish under this packet id", 0x91),
        Outcome(Verdict.NEVER, "too_large", "the message is larger than the broker accepts", 0x95),
        Outcome(Verdict.LATER, "quota_exceeded", "a quota of the broker is used up", 0x97),
        Outcome(Verdict.NEVER, "payload_invalid", "the payload does not have the declared format", 0x99),
    )
    if outcome.code is not None
}

CUT_OFF = Outcome(
    Verdict.NEVER, "refused", "the broker cuts the connection whenever this message is sent, and only then"
)
"""A refusal without a PUBACK; `disconnect_guard` finds it out."""

REASONS = (*(outcome.reason for outcome in _PUBACK.values()), CUT_OFF.reason, "unknown")
"""All values of `Outcome.reason`."""

CONNACK_3: dict[int, str] = {
    1: "it does not speak this version of MQTT",
    2: "it does not accept the client id",
    3: "it is not available",
    4: "user name or password is wrong",
    5: "this client is not authorized",
}
"""Return codes of a 3.1.1 CONNACK (3.2.2.3)."""

_SESSION: dict[int, str] = {
    0x00: "it ended the session",
    0x04: "it ended the session and sent the last will",
    0x80: "it gives no reason",
    0x81: "it calls one of our packets malformed",
    0x82: "it reports a protocol error",
    0x83: "for a reason of its own",
    0x84: "it does not speak this version of MQTT",
    0x85: "it does not accept the client id",
    0x86: "user name or password is wrong",
    0x87: "this client is not authorized",
    0x88: "it is not available",
    0x89: "it is busy",
    0x8A: "this client is banned",
    0x8B: "it is shutting down",
    0x8C: "it does not know this authentication method",
    0x8D: "it got nothing from us within the keep-alive",
    0x8E: "another client connected with the same client id and took the session over",
    0x90: "it does not accept a topic name",
    0x93: "we sent more than its Receive Maximum allows",
    0x94: "it does not accept a topic alias",
    0x95: "a packet was larger than it accepts",
    0x96: "messages come too fast for it",
    0x97: "a quota is used up",
    0x98: "an administrator ended the session",
    0x99: "a payload does not have the declared format",
    0x9A: "it does not support retained messages",
    0x9B: "it does not support this QoS",
    0x9C: "it sends us to another server for now",
    0x9D: "it has moved to another server",
    0x9F: "connections come too fast for it",
    0xA0: "the connection has reached its maximum duration",
}

ABOUT_WHAT_WE_SENT = frozenset((0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x94, 0x95, 0x99, 0x9A, 0x9B))
"""Reasons of a DISCONNECT that one of our messages may have caused.  All others concern the session or the broker."""


def of_puback(code: int, reason_text: str = "") -> Outcome:
    """The outcome for the reason code of a PUBACK.  `reason_text`: the broker's reason string, if any."""
    known = _PUBACK.get(code)
    if known is not None and not reason_text:
        return known
    if known is None and code < 0x80:
        known = Outcome(Verdict.DELIVERED, "unknown", "the broker has it", code)
    elif known is None:
        known = Outcome(Verdict.LATER, "unknown", f"the broker refused it with reason code 0x{code:02x}", code)
    detail = f"{known.detail}: {reason_text}" if reason_text else known.detail
    return Outcome(known.verdict, known.reason, detail, code)


def of_session(code: int, reason_text: str = "", server_reference: str = "") -> str:
    """Why the broker refused or ended a session, for people: the reason code of CONNACK or DISCONNECT (MQTT 5)."""
    text = _SESSION.get(code, "for a reason it does not explain")
    text = f"{text} (0x{code:02x})"
    if reason_text:
        text += f": {reason_text}"
    if server_reference:
        text += f", it names {server_reference}"
    return text
