"""The durable bounded FIFO of messages between the sources and the brokers.

Everything for which `append` has returned is on stable storage.  It stays there until every reader has acknowledged it,
or until a configured bound is reached and the loss is noted.  The outbox is a set of append-only files, not a database:
a full one can always unlink a file, and a flipped bit costs one record.

Invariants
----------

- Durable before promised: write, fdatasync, note the end; only then `append` returns and readers see the messages.
- In each lane (route and priority) an append is stored whole or not at all.  Its checkpoint is never durable before its
  messages.
- A reader gets exactly what was appended for the route that it followed at that moment.  A reader that changes to
  another route first gets what is left of the former one.
- The records of a lane are numbered without holes.  A stream belongs to one lane and counts by one.  No number of a
  stream is used twice: when recovery cannot prove the counters, `epoch` changes, and with it every stream's name.
- Every loss (policy, age, damage) is counted at once and noted in the ledger before its bytes go.  It stays in the
  ledger until the message that announces it is acknowledged.  If that message is lost, the loss is announced again.
- Disk use stays within `max_bytes`, headers and checkpoints included, and `min_free` stays free.
- One writer per folder.

Folder
------

        LOCK                  the process that uses the folder
        <lane>-<number>.seg   segments: lane 0 events, 1 states, 2 telemetry, and so on for other routes (`lanes.py`);
                              number of the first record, 16 digits
        state                 the writer's note: epoch, boot, clocks, and the end of each lane; two slots
                              (`double_buffered_file.py`)
        <reader>.cursor       the reader's route, and its lowest unacknowledged record of each lane; two slots
        ledger                losses whose announcement is not delivered yet, one JSON object per line (`losses.py`)
        quarantine/           copies of damaged segments and tails, for people

A segment begins with a header: magic `CFoutbx1`, CRC-32, length, JSON with the format version, the epoch, the first
number, the numbers of all routes, and the counters of all streams and checkpoints of all sources at that moment
(`segment.py`).  Records follow:
magic, CRC-32, length, kind, number, sum of values before, stream, seq, topic, source, times, properties, payload
(`record.py`).  A segment is created under another name and renamed, so it has its header or does not exist.  The newest
segment of a lane holds the counters, so it is never unlinked before the next one exists.

Consequences of damage
----------------------

        torn tail                   cut off; it was never promised.  After a power cut: new epoch
        damaged record              skipped; stream and seq are known from the counters around it; copy in quarantine
        damaged header              its records are found by their magic; new epoch if it is the newest segment
        missing segment             number of messages and values announced; new epoch if it is the newest
        missing or damaged state    new epoch, nothing lost
        damaged cursor              all stored messages of its route are delivered again; a power cut does not damage it
        damaged ledger line         that loss is not announced
        empty and foreign files     left alone
        write or sync fails         the segment ends at its last durable byte; the same appends go to a new one,
                                    repeatedly until it succeeds; meanwhile `append` waits
        disk full                   as `when_full` says: drop the oldest of the lowest priority, or wait
        reading fails               unreadable blocks count as damage; a file that cannot be opened is tried again
        clock jumps                 ages do not change: they count on the monotonic clock

Threads: decisions on the event loop (`outbox.py`, `group_commit.py`, `store.py`, `reader.py`); writing in one thread
(`writer.py`); reading in one thread per reader (`segment_reader.py`); recovery (`recover.py`, `scan.py`) before all of
them.
"""

from gateway.model import Loss
from gateway.outbox.contract import Buffer, Position
from gateway.outbox.files import Files
from gateway.outbox.lanes import DEFAULT_ROUTE
from gateway.outbox.opening import open_outbox
from gateway.outbox.outbox import Outbox
from gateway.outbox.reader import Reader
from gateway.outbox.recover import TOO_MUCH_LEFT
from gateway.outbox.segment_reader import Record

__all__ = [
    "DEFAULT_ROUTE",
    "TOO_MUCH_LEFT",
    "Buffer",
    "Files",
    "Loss",
    "Outbox",
    "Position",
    "Reader",
    "Record",
    "open_outbox",
]
