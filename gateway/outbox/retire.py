"""Retires lanes without followers and without wanted messages: removes their files, so that they can start anew.

This runs before anything is written.  The counters of their streams move to a new segment of the first lane.  The
writer's note drops a lane before its files go, so that a crash in between leaves unwanted files, and not a note of
missing files.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.outbox.files import Files
from gateway.outbox.lanes import Lanes
from gateway.outbox.segment import PRIORITIES, Lane
from gateway.outbox.writer import Writer, Written

_log = structlog.get_logger("gateway.outbox")


def retire_lanes(
    files: Files, folder: Path, writer: Writer, lanes: Lanes, is_wanted: Callable[[int], bool], room_bytes: int
) -> Written | None:
    """Returns the new segment of the first lane if anything was removed; None also when there is no room for that
    segment. Raises `OSError`; then nothing has changed that is not noted."""
    gone = [lane for lane in lanes if lane.index >= len(PRIORITIES) and not is_wanted(lane.index)]
    if not any(lane.segments for lane in gone) or writer.header_bytes([0]) > room_bytes:
        return None
    written = writer.begin(0)
    books = writer.take_out([lane.index for lane in gone])
    for lane in gone:
        if lanes.route_of(lane.index) is None and lane.end > lane.first:
            _log.error("stored messages have no known reader", lane=lane.index, messages=lane.end - lane.first)
        if _is_removed(files, folder, lane):
            lanes.retire(lane.index)
        elif lane.index in books:
            writer.books.lanes[lane.index] = books[lane.index]
    return written


def _is_removed(files: Files, folder: Path, lane: Lane) -> bool:
    """Remove the files of a lane, the oldest first.  Returns whether all are gone."""
    while lane.segments:
        try:
            files.remove(folder / lane.segments[0].name)
        except OSError:
            return False
        lane.segments.popleft()
    return True
