"""CPU and bytes per value of every format.

    python -m tests.bench.bench_payload [--json]

Batches of 1 000 scalar numbers of one topic, every timestamp different, as the decoder gives them: doubles alone, and
doubles, integers, booleans and floats in turn.  `with decode` begins at the bytes of the publish response.  Each figure
is the best of several rounds of process CPU time.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from gateway.config import CloudEventsConfig, Config, PayloadConfig, PubSubConfig
from gateway.model import Batch, Message
from gateway.payload.choose import Format, format_for
from tests.bench.bench_decode import VALUES, batch_of, cpu_us, decoded, mixed, uniform

TIMES = 10


def configured(**payload: object) -> Config:
    return Config.model_validate(
        {
            "sources": [{"name": "bench", "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85"}]}],
            "broker": {"url": "mqtt://h"},
            "payload": {"topic": "factory/{machine}", **payload},
        }
    )


def formats() -> Iterator[tuple[str, PayloadConfig, Format]]:
    chosen: dict[str, dict[str, object]] = {
        "json": {},
        "json, gzip": {"compress": "gzip"},
        "json, zstd": {"compress": "zstd"},
        "json, one topic per tag": {"topic": "factory/{machine}/{tag}"},
        "msgpack": {"format": "msgpack"},
        "json-columns": {"format": "json-columns"},
        "json-columns, gzip": {"format": "json-columns", "compress": "gzip"},
        "json-columns, zstd": {"format": "json-columns", "compress": "zstd"},
        **{
            f"opcua-pubsub, {encoding}": {
                "format": "opcua-pubsub", "pubsub": PubSubConfig(encoding=encoding, key_frame_every=0),
            }
            for encoding in ("verbose", "compact", "raw")
        },
        **{
            f"cloudevents, {mode}": {
                "format": "cloudevents", "cloudevents": CloudEventsConfig(mode=mode),
                "pubsub": PubSubConfig(key_frame_every=0),
            }
            for mode in ("binary", "structured")
        },
    }  # fmt: skip
    for name, payload in chosen.items():
        config = configured(**payload)
        yield name, config.payload, format_for(config, "bench", "bench.e1")


class Stored:
    """As if the outbox took everything."""

    def __init__(self) -> None:
        self.last: Counter[str] = Counter()

    def encode(self, form: Format, batch: Batch) -> list[Message]:
        messages = form.encode(batch, lambda stream: self.last[stream] + 1)
        for message in messages:
            self.last[message.stream] = message.seq
        return messages


def figures() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    bodies: dict[str, Callable[[], bytes]] = {"doubles": uniform, "mixed": mixed}
    for kind, body in bodies.items():
        response = body()
        batch = batch_of(decoded(response))
        for name, _, form in formats():
            stored = Stored()
            stored.encode(form, batch)  # lists of tags and metadata go once, not with every batch
            messages = stored.encode(form, batch)
            assert sum(message.values for message in messages) == VALUES
            found[f"{kind}: {name}"] = {
                "encode_us": cpu_us(partial(stored.encode, form, batch), TIMES),
                "with_decode_us": cpu_us(partial(_both, stored, form, response), TIMES),
                "bytes": sum(len(message.payload) for message in messages) / VALUES,
            }
    return found


def _both(stored: Stored, form: Format, response: bytes) -> object:
    return stored.encode(form, batch_of(decoded(response)))


def main() -> None:
    numbers = figures()
    if "--json" in sys.argv:
        print(json.dumps(numbers))
        return
    print(f"{'per value':36} {'encode':>12} {'with decode':>12} {'payload':>12}")
    for name, each in numbers.items():
        print(f"{name:36} {each['encode_us']:9.3f} µs {each['with_decode_us']:9.3f} µs {each['bytes']:8.1f} bytes")


if __name__ == "__main__":
    main()
