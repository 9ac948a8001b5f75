"""Delivery: the contract between the pipeline and every kind of sink.

`contract` defines a session, `around` wraps one session in another, `prologue` sends the messages that must come first
in a session of any kind, and `shared` lets two parties send on one session.  `passing` has what sessions around another
share.
"""

from gateway.delivery.around import Around
from gateway.delivery.contract import (
    DELIVERED,
    LateStage,
    OpenSink,
    Outcome,
    Packet,
    Presence,
    Session,
    Sink,
    SinkKind,
    Verdict,
)
from gateway.delivery.prologue import Prologue, PrologueSession, after_prologue
from gateway.delivery.shared import SharedSession

__all__ = [
    "DELIVERED",
    "Around",
    "LateStage",
    "OpenSink",
    "Outcome",
    "Packet",
    "Presence",
    "Prologue",
    "PrologueSession",
    "Session",
    "SharedSession",
    "Sink",
    "SinkKind",
    "Verdict",
    "after_prologue",
]
