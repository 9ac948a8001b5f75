"""The durable bounded FIFO of messages between the sources and the brokers.

What `append` returned for is on stable storage and stays there until every reader has acknowledged it, or until a bound
that the configuration names was reached and the loss was noted.  It is a set of append-only files, not a database: a
full one can always unlink, and a flipped bit costs one record.

Invariants
----------

- Durable before promised: write, fdatasync, note the end; only then `append` returns and readers see it.
- One append is stored whole or not at all in each lane (route and priority), and its checkpoint never before its
  messages.
- A reader gets what was appended for the route that it followed at that moment, and nothing else.  One that goes over
  to another has what is left of the former one first.
- A lane's records are numbered without holes; a stream belongs to one lane and counts by one.  No number of a stream
  is used twice: when recovery cannot prove the counters, `epoch` changes, and with it every stream's name.
- What is lost (policy, age, damage) is counted at once, noted in the ledger before its bytes go, and stays in the
  ledger until the message that announces it is acknowledged: when that is lost as well, it is announced again.
- Disk use stays within `max_bytes`, headers and checkpoints included, and `min_free` stays free.
- One writer for each folder.

Folder
------

    LOCK                  who has the folder
    <lane>-<number>.seg   segments: lane 0 events, 1 states, 2 telemetry, and so on for other routes (`lanes.py`);
                          number of the first record, 16 digits
    state                 note of the writer: epoch, boot, clocks, and where each lane ends; two slots
                          (`double_buffered_file.py`)
    <reader>.cursor       which route it follows, and the lowest record of each lane that it has not acknowledged; two
                          slots
    ledger                losses whose announcement was not delivered yet, one JSON object per line (`losses.py`)
    quarantine/           copies of damaged segments and tails, for people

A segment begins with a header: magic `CFoutbx1`, CRC-32, length, JSON with the format version, the epoch, the first
number, the numbers of all routes, and the counters of all streams and checkpoints of all sources at that moment
(`segment.py`).  Records follow:
magic, CRC-32, length, kind, number, sum of values before, stream, seq, topic, source, times, properties, payload
(`record.py`).  A segment is created beside and renamed, so it has its header or does not exist.  The newest segment of
a lane is never unlinked before the next one exists, because it holds the counters.

Consequences of damage
----------------------

    torn tail                   cut off; it was never promised.  After a power cut: new epoch
    damaged record              skipped; told with stream and seq by the counters around it; copy in quarantine
    damaged header              the records behind it are found by their magic; new epoch if it is the newest
    missing segment             told with its number of messages and values; new epoch if it is the newest
    missing or damaged state    new epoch, nothing lost
    damaged cursor              what is stored of its route is delivered again; a power cut does not damage it
    damaged ledger line         that loss is not announced
    empty and foreign files     left alone
    write or sync fails         the segment is given up at its last durable byte; the same appends go to a new one,
                                again and again until it succeeds; meanwhile `append` waits
    disk full                   as `when_full` says: drop the oldest of the lowest priority, or wait
    reading fails               unreadable blocks count as damage; a file that cannot be opened is waited for
    clock jumps                 ages do not move: they count on the monotonic clock

Who runs where: decisions on the event loop (`outbox.py`, `group_commit.py`, `store.py`, `reader.py`), writing in one
thread (`writer.py`), reading in one for each reader (`segment_reader.py`), recovery (`recover.py`, `scan.py`) before
there is anything else.
"""

from gateway.model import Loss
from gateway.outbox.files import Files
from gateway.outbox.opening import open_outbox
from gateway.outbox.outbox import Outbox
from gateway.outbox.reader import Reader
from gateway.outbox.recover import TOO_MUCH_LEFT
from gateway.outbox.segment_reader import Record

__all__ = ["TOO_MUCH_LEFT", "Files", "Loss", "Outbox", "Reader", "Record", "open_outbox"]
