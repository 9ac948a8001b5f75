"""A batch is encoded once for each route; what has not changed of the routes goes on as it is."""

import asyncio
from pathlib import Path

import orjson

from gateway.config import Config, OutboxConfig, Route
from gateway.link import Link
from gateway.outbox import open_outbox
from gateway.payload.choose import encoder_for
from gateway.payload.format import Encoder
from gateway.payload.layout import prefix_of
from gateway.pipeline.keep_alive import keeping_alive
from gateway.pipeline.routing import Encoded, Routing, SourceRoutes
from tests.support.payloads import Counting, batch_of

SOURCE = {"url": "opc.tcp://h", "insecure": True, "select": [{"node": "i=1"}]}
PUBSUB: dict[str, object] = {"format": "opcua-pubsub", "topic": "f", "pubsub": {"keep_alive": "5ms"}}


def config(*brokers: dict[str, object], sources: tuple[str, ...] = ("line-1", "line-2")) -> Config:
    named = [{"name": f"b{n}", "url": "mqtt://h", **broker} for n, broker in enumerate(brokers)]
    return Config.model_validate(
        {"sources": [{"name": name, **SOURCE} for name in sources], "brokers": named, "payload": {"topic": "f"}}
    )


class Made:
    """A routing that notes which encoders are made."""

    def __init__(self, first: Config) -> None:
        self.config = first
        self.names: list[str] = []
        self.routing = Routing(first.distinct_routes, [s.name for s in first.sources], self._make)
        self.routes = SourceRoutes("line-1", self.routing)
        self.counting = Counting()

    def _make(self, route: Route, source: str) -> Encoder:
        self.names.append(route.name)
        return encoder_for(self.config, source, prefix_of("e.1", route.name), payload=route.payload)

    def take(self, other: Config) -> None:
        self.config = other
        self.routing.change(other.distinct_routes, [source.name for source in other.sources])

    def encode(self, *values: int) -> Encoded:
        encoded = Encoded()
        self.routes.encode(batch_of([(6, value) for value in values]), self.counting.next_seq, encoded)
        for made in (encoded.messages, *encoded.others.values()):
            self.counting.append(made)
        return encoded


def test_each_route_is_encoded_once_and_reports_its_size() -> None:
    made = Made(config({}, {}, {"payload": {"topic": "g"}}, {"tags": [{"include": ["tag0"]}]}))
    encoded = made.encode(1, 2, 3)
    assert made.names == ["", "b2", "b3"]
    assert (encoded.values, encoded.chosen) == (3, {"": 3, "b2": 3, "b3": 1})
    streams = {name: [m.stream for m in some] for name, some in {"": encoded.messages, **encoded.others}.items()}
    assert streams == {"": ["e.1/line-1/f"], "b2": ["e.1@b2/line-1/g"], "b3": ["e.1@b3/line-1/f"]}


def test_a_brokers_packet_size_counts_for_its_route_from_the_next_batch_on() -> None:
    made = Made(config({}, {"payload": {"topic": "g"}}, {"payload": {"topic": "g"}}))
    values = range(100)

    def counts() -> tuple[int, int]:
        encoded = made.encode(*values)
        return len(encoded.messages), len(encoded.others["b1"])

    assert counts() == (1, 1)
    assert made.routing.limit("b1", 9000)
    assert not made.routing.limit("b1", 9000)
    assert counts() == (1, 1)
    made.routing.limit("b2", 2000)
    plain, limited = counts()
    assert (plain, limited > 3) == (1, True), "the narrowest of a route counts"
    made.take(config({}, {"payload": {"topic": "g"}}))
    assert counts() == (1, 1), "who is not in the route any more does not"
    made.routing.forget("b1")
    assert made.routing.packet_bytes == {}


def test_a_route_that_did_not_change_keeps_its_encoder() -> None:
    made = Made(config({}, {"payload": {"format": "json-columns", "topic": "g"}}))
    assert len(made.encode(1).others["b1"]) == 2, "the list of tags first"
    made.take(config({"payload": {"topic": "h"}}, {"payload": {"format": "json-columns", "topic": "g"}}, {}))
    assert len(made.encode(1).others["b1"]) == 1
    assert made.names == ["", "b1", "b0"]


def test_writers_are_renumbered_when_the_sources_change() -> None:
    def numbers(encoded: Encoded) -> set[int]:
        bodies = [orjson.loads(message.payload) for message in encoded.messages]
        return {each["DataSetWriterId"] for body in bodies for each in body.get("Messages", [body])}

    first = config({"payload": PUBSUB}, {}, sources=("line-0", "line-1"))
    made = Made(first.model_copy(update={"payload": first.brokers[0].payload, "brokers": first.brokers[1:]}))
    assert numbers(made.encode(1)) == {2}
    made.take(made.config.model_copy(update={"sources": made.config.sources[1:]}))
    assert numbers(made.encode(1)) == {1}


def test_an_added_route_sends_keep_alives_and_a_removed_one_does_not(tmp_path: Path) -> None:
    async def body() -> None:
        made, link = Made(config({})), Link("line-1", "opc.tcp://h")
        link.up()
        async with open_outbox(OutboxConfig(path=tmp_path), readers={"b0": "", "b1": "b1"}) as outbox:
            made.counting.next_seq = outbox.next_seq  # type: ignore[method-assign]
            made.counting.append = lambda messages: messages  # type: ignore[method-assign]
            async with keeping_alive(made.routes, outbox, link):
                made.take(config({}, {"payload": PUBSUB}))
                encoded = made.encode(1)
                await outbox.append(encoded.messages, others=encoded.others)
                kept, far = 0, outbox.reader("b1")
                while kept < 3:
                    kept += sum(b"ua-keepalive" in each.message.payload for each in await far.read(10, 10**6))
                made.take(config({}))
                await outbox.append([])
                await asyncio.sleep(0.05)
                last = outbox.next_seq("e.1@b1/line-1/opcua/json/data/gateway/line-1/f/keepalive")
                await asyncio.sleep(0.05)
                assert outbox.next_seq("e.1@b1/line-1/opcua/json/data/gateway/line-1/f/keepalive") == last > 3
            assert outbox.reader("b0").messages == 1

    asyncio.run(asyncio.wait_for(body(), 60))
