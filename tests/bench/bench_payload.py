"""CPU and bytes per value of every format.

    python -m tests.bench.bench_payload [--json]

Batches of 1 000 and of 100 scalar numbers of one topic, every timestamp different, as the decoder gives them: doubles
alone, and doubles, integers, booleans and floats in turn.  `share` is the part of what `json` costs.  `with decode`
begins at the bytes of the publish response.  Each figure is the best of several rounds of process CPU time.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from gateway.config import CloudEventsConfig, Config, PayloadConfig, PubSubConfig
from gateway.config.payload import FlatConfig
from gateway.model import Batch, Message
from gateway.payload.choose import encoder_for
from gateway.payload.format import Encoder
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


def formats() -> Iterator[tuple[str, PayloadConfig, Encoder]]:
    chosen: dict[str, dict[str, object]] = {
        "json": {},
        "json, gzip": {"compress": "gzip"},
        "json, zstd": {"compress": "zstd"},
        "json, one topic per tag": {"topic": "factory/{machine}/{tag}"},
        "msgpack": {"format": "msgpack"},
        "flat": {"format": "flat"},
        "flat, without times": {"format": "flat", "flat": FlatConfig(timestamp=None)},
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
        yield name, config.payload, encoder_for(config, "bench", "bench.e1")


class Stored:
    """As if the outbox took everything."""

    def __init__(self) -> None:
        self.last: Counter[str] = Counter()

    def encode(self, form: Encoder, batch: Batch) -> list[Message]:
        messages = form.encode(batch, lambda stream: self.last[stream] + 1)
        for message in messages:
            self.last[message.stream] = message.seq
        return messages


def figures() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    bodies: dict[str, Callable[[int], bytes]] = {"doubles": uniform, "mixed": mixed}
    for (kind, body), count in product(bodies.items(), (VALUES, 100)):
        response, per_value = body(count), VALUES / count
        batch = batch_of(decoded(response))
        for name, _, form in formats():
            stored = Stored()
            stored.encode(form, batch)  # lists of tags and metadata go once, not with every batch
            messages = stored.encode(form, batch)
            assert sum(message.values for message in messages) == count
            encode_us = cpu_us(partial(stored.encode, form, batch), TIMES) * per_value
            json_us = found[f"{count} {kind}: json"]["encode_us"] if name != "json" else encode_us
            found[f"{count} {kind}: {name}"] = {
                "encode_us": encode_us,
                "share": encode_us / json_us,
                "with_decode_us": cpu_us(partial(_both, stored, form, response), TIMES) * per_value,
                "bytes": sum(len(message.payload) for message in messages) / count,
            }
    return found


def _both(stored: Stored, form: Encoder, response: bytes) -> object:
    return stored.encode(form, batch_of(decoded(response)))


def main() -> None:
    numbers = figures()
    if "--json" in sys.argv:
        print(json.dumps(numbers))
        return
    print(f"{'per value':40} {'encode':>12} {'share':>6} {'with decode':>12} {'payload':>12}")
    for name, each in numbers.items():
        costs = f"{each['encode_us']:9.3f} µs {each['share']:6.0%} {each['with_decode_us']:9.3f} µs"
        print(f"{name:40} {costs} {each['bytes']:8.1f} bytes")


if __name__ == "__main__":
    main()
