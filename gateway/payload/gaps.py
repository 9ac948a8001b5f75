"""Discontinuities in the messages of all formats: gaps noticed while reading, and losses after storing."""

from collections.abc import Sequence

from gateway.model import UNIX_EPOCH_TICKS, Gap, Loss
from gateway.payload.timestamps import text_of

Row = dict[str, object]


def gap_row(gap: Gap, names: Sequence[str]) -> Row:
    """A gap as a message describes it.  Unknown members are left out."""
    return _known(
        {
            "cause": gap.cause,
            "detail": gap.detail,
            "from_time": text_of(gap.from_ticks) if gap.from_ticks else None,
            "to_time": text_of(gap.to_ticks) if gap.to_ticks else None,
            "count": gap.count,
            "names": list(names) or None,
        }
    )


def loss_row(loss: Loss) -> Row:
    """A loss of numbered messages as a message describes it."""
    return _known(
        {
            "cause": _LOSS_CAUSES[loss.cause],
            "detail": _LOSS_DETAILS[loss.cause],
            "from_time": text_of(loss.from_ns // 100 + UNIX_EPOCH_TICKS) if loss.from_ns else None,
            "to_time": text_of(loss.to_ns // 100 + UNIX_EPOCH_TICKS) if loss.to_ns else None,
            "count": loss.values,
            "from_seq": loss.from_seq or None,
            "to_seq": loss.to_seq or None,
        }
    )


def _known(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None}


_LOSS_CAUSES = {"outbox_full": "policy_drop", "expired": "policy_drop", "corrupt": "corrupt"}

_LOSS_DETAILS = {
    "outbox_full": "the outbox was full: its oldest messages were dropped, as configured",
    "expired": "these messages had waited longer than configured",
    "corrupt": "the data read from the disk differs from what was written",
}
