"""The functions every value passes, run for valgrind to count: `counts.py` starts this, and says what to make of it.

    valgrind --tool=callgrind --toggle-collect=ffi_call … python -m tests.bench.chain.hot STAGE,SIZE STAGE,SIZE …

Valgrind counts only inside of libffi's `ffi_call`, so each stage is run from a callback of a function of libc that is
called through ctypes: what comes before (imports, warming up) is not in the count.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from functools import partial

from gateway.model import Message
from gateway.mqtt.packets import Publishes
from gateway.outbox.record import Encoder as RecordEncoder
from gateway.outbox.record import Stamp
from tests.bench.bench_decode import batch_of, decoded, uniform
from tests.bench.bench_payload import Stored, formats

TIMES = 20
WARM = 5
FORMATS = {"json": "encode json", "json-columns": "encode json-columns", "json, one topic per tag": "encode per tag"}
Work = Callable[[], object]
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def stages(size: int) -> Iterator[tuple[str, Work]]:
    """What happens to one publish response of `size` values, a stage each."""
    response = uniform(size)
    batch = batch_of(decoded(response))
    yield "decode", partial(decoded, response)
    for name, _, form in formats():
        if name in FORMATS:
            stored = Stored()
            stored.encode(form, batch)  # a list of tags goes once, not with every batch
            yield FORMATS[name], partial(stored.encode, form, batch)
            yield (
                f"store and send, {name}",
                partial(_store_and_send, RecordEncoder(), Publishes(), stored.encode(form, batch)),
            )


def _store_and_send(encoder: RecordEncoder, publishes: Publishes, messages: list[Message]) -> None:
    for message in messages:
        encoder.message(message, Stamp(2, 1, 1, 1, 1), 7, True)
        publishes.packet(message, 5, False)


def counted(work: Work) -> None:
    """Run a stage where valgrind counts; RuntimeError when it raises, after ctypes has printed what."""
    done = []

    def often(_: object, __: object) -> int:
        for _ in range(TIMES):
            work()
        done.append(True)
        return 0

    libc, one, anything = ctypes.CDLL(None), ctypes.c_size_t(1), ctypes.create_string_buffer(8)
    libc.lfind(anything, anything, ctypes.byref(one), ctypes.c_size_t(1), _CALLBACK(often))
    if not done:
        raise RuntimeError("a stage did not run to its end")


def main(wanted: list[str]) -> None:
    sizes = {size for _, _, size in (word.rpartition(",") for word in wanted)}
    works = {f"{name},{size}": work for size in sorted(sizes) for name, work in stages(int(size))}
    for word in wanted:
        for _ in range(WARM):
            works[word]()
        counted(works[word])


if __name__ == "__main__":
    main(sys.argv[1:])
