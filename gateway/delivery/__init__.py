"""Delivery: the contract between the pipeline and every kind of sink.  See `contract`."""

from gateway.delivery.contract import (
    DELIVERED,
    OpenSink,
    Outcome,
    Packet,
    Presence,
    Session,
    Sink,
    SinkKind,
    Verdict,
)

__all__ = ["DELIVERED", "OpenSink", "Outcome", "Packet", "Presence", "Session", "Sink", "SinkKind", "Verdict"]
