"""Delivery: the contract between the pipeline and every kind of sink.

`contract` says what a session is, `around` is one around another; `prologue` is what must come first on one, for every
kind alike.
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
    "Sink",
    "SinkKind",
    "Verdict",
    "after_prologue",
]
