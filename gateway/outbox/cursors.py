"""Cursors: the position of each reader, read from the disk and compared with the stored messages.

A damaged cursor leads to repeats.  A cursor that points at missing messages shows which ones are lost.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from gateway.outbox.double_buffered_file import DoubleBufferedFile
from gateway.outbox.files import Files
from gateway.outbox.lanes import Lanes
from gateway.outbox.segment import PRIORITIES, Lane
from gateway.outbox.unacked_range import OPEN, Places, UnackedRange, places_of, ranges_of

_log = structlog.get_logger("gateway.outbox")

End = tuple[int, int]
"""A number, and the values of all records of its lane below it."""
_NOWHERE = (0, 0)


@dataclass(slots=True)
class Cursor:
    """The position of one reader, and its file."""

    file: DoubleBufferedFile
    at: Places
    is_noted: bool = True
    """Whether the file has this position."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What the disk says about a reader."""

    file: DoubleBufferedFile | None
    """None for a reader that is not known on the disk."""
    at: Places | None
    """None where the file is damaged, too."""


def read_cursors(files: Files, folder: Path, names: list[str], readers: Collection[str]) -> dict[str, Noted]:
    """The cursors of all configured readers."""
    stored = {name.removesuffix(".cursor") for name in names if name.endswith(".cursor")}
    for name in sorted(stored - set(readers) if readers else ()):
        _log.info("a reader that is not configured any more was forgotten", reader=name)
        files.remove(folder / f"{name}.cursor")
        stored.discard(name)
    found = {name: _read(files, folder, name) for name in sorted(stored)}
    return found | {name: Noted(None, None) for name in sorted(set(readers) - stored)}


def _read(files: Files, folder: Path, name: str) -> Noted:
    """Read one cursor.  An empty file comes from a version with a single route, and its reader wants all of that."""
    file = DoubleBufferedFile(files, folder / f"{name}.cursor", outlives_power_cut=True)
    if file.was_new:
        return Noted(file, Places(lanes=[(int(priority), 0, 0) for priority in PRIORITIES]))
    try:
        return Noted(file, Places.model_validate(file.found))
    except ValidationError:
        _log.warning("a damaged cursor: everything stored for its route is delivered again", reader=name)
    return Noted(file, None)


def begun_cursor(files: Files, folder: Path, name: str, at: Places) -> Cursor:
    """The cursor of a reader that is not known on the disk.

    It is noted at once, so that a later change of its route does not depend on whether it acknowledged anything.
    """
    path = folder / f"{name}.cursor"
    try:
        return Cursor(DoubleBufferedFile.begun(files, path, at.model_dump()), at)
    except OSError:  # a full disk: noted later, when there is room
        return Cursor(DoubleBufferedFile(files, path, outlives_power_cut=True), at, is_noted=False)


def at_the_oldest(route: str, lanes: Lanes) -> Places:
    return Places(route=route, lanes=[(lane.index, *oldest_of(lane)) for lane in lanes.of(route)])


def oldest_of(lane: Lane) -> End:
    """The oldest record, and the values before it."""
    if lane.segments:
        return lane.segments[0].first, lane.segments[0].values_before
    return lane.end, lane.values_end


def fitted(at: Places, lanes: Lanes, kept: dict[int, End], durable: dict[int, End]) -> tuple[Places, list[End]]:
    """Fit a cursor to the stored records.  Also returns messages and values of each missing piece that it wanted.

    For each lane, `kept` is the end of the records on the disk, `durable` the end that was promised, and `lane.end` the
    number with which the lane continues.
    """
    wanted: dict[int, list[UnackedRange]] = {}
    lost: list[End] = []
    for lane in lanes:
        stop = kept.get(lane.index, _NOWHERE)
        start = oldest_of(lane) if lane.segments else stop
        ranges = ranges_of(lane.index, at)
        for low, high in (((-1, 0), start), (stop, durable.get(lane.index, _NOWHERE))):
            lost += [piece for unacked in ranges if (piece := _overlap(unacked, low, high))]
        there = [
            UnackedRange(*max(s, start), *min(e, stop))
            for s, e in map(_bounds, (each for each in ranges if not each.is_open))
            if s < stop
        ]
        found = [each for each in there if each.low < each.end]
        if ranges and ranges[-1].is_open:
            last = max(_bounds(ranges[-1])[0], start)
            found.append(UnackedRange(*(last if last[0] < stop[0] else (lane.end, stop[1]))))
        if found:
            wanted[lane.index] = found
    return Places.model_validate(places_of(at.route, wanted)), lost


def following(at: Places, route: str, lanes: Lanes) -> Places:
    """The cursor of a new reader of `route`, which gets everything from now on."""
    wanted = {lane.index: ranges for lane in lanes if (ranges := ranges_of(lane.index, at))}
    return Places.model_validate(places_of(route, gone_over(wanted, route, lanes)))


def gone_over(wanted: dict[int, list[UnackedRange]], route: str, lanes: Lanes) -> dict[int, list[UnackedRange]]:
    """The ranges that a reader wants after a change of route: the rest of the former one, and everything to come of the
    new one."""
    for index, ranges in wanted.items():
        last, lane = ranges[-1], lanes[index]
        if last.is_open:
            last.end, last.end_values = lane.behind
        if last.low >= last.end:
            ranges.pop()
    for lane in lanes.of(route):
        ranges = wanted.setdefault(lane.index, [])
        if ranges and ranges[-1].end == lane.end and not ranges[-1].behind:
            ranges[-1].end = OPEN  # nothing was appended there since it left
        else:
            ranges.append(UnackedRange(lane.end, lane.values_end))
    return {index: ranges for index, ranges in wanted.items() if ranges}


def _bounds(unacked: UnackedRange) -> tuple[End, End]:
    return (unacked.low, unacked.low_values), (unacked.end, unacked.end_values)


def _overlap(unacked: UnackedRange, low: End, high: End) -> tuple[int, int] | None:
    """Messages and values of a range between two places.  None: there are none."""
    begin, end = _bounds(unacked)
    begin, end = max(begin, low), min(end, high)
    return (end[0] - begin[0], max(0, end[1] - begin[1])) if begin[0] < end[0] else None


def furthest(at: Places | None, lane: int) -> int:
    """One more than the highest acknowledged number."""
    if at is None:
        return 0
    ranges = ranges_of(lane, at)
    return ranges[-1].low if ranges else 0
