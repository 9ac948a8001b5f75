"""The configurations in `config/`, run as they are but for addresses, against the plant that they were written for."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import jsonschema
import pytest
import yaml
import zstandard

from gateway.payload.choose import FORMATS
from tests.support.brokers import Process, mosquitto
from tests.support.cloud_events import read_event
from tests.support.programs import ROOT, Factory, Gateway, running, wait_until

Got = list[aiomqtt.Message]
Body = dict[str, object]
COLUMNS, RULES = "json-columns", ("swinging_door", "deadband", "aggregate")
TAGS = {"CycleTime", "Energy", "Good", "Scrap", "State", "Temperature"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with mosquitto(tmp_path_factory.mktemp("broker"), "max_inflight_messages 0") as process:
        yield process


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    program = Factory(tmp_path_factory.mktemp("factory"), "--speed", "30")
    with running(program):
        program.wait_said("serving")
        yield program


def example(name: str, folder: Path, factory: Factory, broker: Process) -> Gateway:
    config = yaml.safe_load((ROOT / "config" / f"gateway-{name}.yaml").read_text(encoding="utf-8"))
    for source in config["sources"]:
        source["url"] = factory.url
    kept = {key: config[key] for key in ("name", "sources", "payload")}
    return Gateway(folder, factory.url, broker.url, **kept)


def received(broker: Process, topic: str, enough: Callable[[Got], bool]) -> Got:
    """What a subscriber gets that comes only now, until that is enough."""

    async def body() -> Got:
        got: Got = []
        async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe(topic, qos=1)
            async for message in client.messages:
                got.append(message)
                if enough(got):
                    break
        return got

    return asyncio.run(asyncio.wait_for(body(), 240))


def body_of(message: aiomqtt.Message, form: str) -> Body:
    assert isinstance(message.payload, bytes)
    told = vars(message.properties).get("UserProperty", []) if message.properties else []
    packed = ("content-encoding", "zstd") in told
    found: Body = json.loads(zstandard.ZstdDecompressor().decompress(message.payload) if packed else message.payload)
    jsonschema.validate(found, FORMATS[form].schema())
    return found


def rows_of(body: Body, key: str) -> list[Body]:
    rows = body.get(key, [])
    assert isinstance(rows, list)
    return rows


def test_a_unified_namespace_shows_a_machine_at_once(tmp_path: Path, factory: Factory, broker: Process) -> None:
    def all_tags(got: Got) -> bool:
        return {m.topic.value.rsplit("/", 1)[-1] for m in got} >= TAGS

    with running(example("uns", tmp_path, factory, broker)):
        topic = "acme/munich/hall-1/line-1/assembly/#"
        received(broker, topic, all_tags)
        kept = [m for m in received(broker, topic, all_tags) if m.retain]
    assert {m.topic.value.rsplit("/", 1)[-1] for m in kept} >= TAGS
    for message in kept:
        (name,) = {row["name"] for row in rows_of(body_of(message, "json"), "values")}
        assert message.topic.value.endswith(f"/{name}")


def test_columns_refer_to_a_published_tag_list(tmp_path: Path, factory: Factory, broker: Process) -> None:
    def is_data(message: aiomqtt.Message) -> bool:
        return message.topic.value == "factory/hall-1/line-1"

    with running(example("columns", tmp_path, factory, broker)):
        got = received(broker, "factory/#", lambda got: sum(map(is_data, got)) >= 10)
    lists = {body["version"]: rows_of(body, "tags") for m in got if not is_data(m) for body in [body_of(m, COLUMNS)]}
    for body in (body_of(m, COLUMNS) for m in got if is_data(m)):
        names = [lists[body["tags"]][place]["name"] for place in rows_of(body, "tag")]  # type: ignore[call-overload]
        assert len(names) == len(rows_of(body, "value")) == len(rows_of(body, "time"))
        assert TAGS & {*names}


def test_pubsub_publishes_its_metadata_and_status(tmp_path: Path, factory: Factory, broker: Process) -> None:
    def kind(message: aiomqtt.Message) -> str:
        return message.topic.value.split("/")[2]

    with running(example("pubsub", tmp_path, factory, broker)):
        got = received(broker, "opcua/#", lambda got: [kind(m) for m in got].count("data") >= 20)
    bodies = [body_of(m, "opcua-pubsub") for m in got]
    assert {"ua-status": 2}.items() <= {body["MessageType"]: body.get("Status") for body in bodies}.items()
    described = {body["DataSetWriterId"]: body["MetaData"] for body in bodies if body["MessageType"] == "ua-metadata"}
    for data in (message for body in bodies for message in rows_of(body, "Messages")):
        metadata, payload = described[data["DataSetWriterId"]], data["Payload"]
        assert isinstance(metadata, dict)
        assert isinstance(payload, dict)
        assert payload.keys() <= {field["Name"] for field in metadata["Fields"]}
    fields = {field["Name"]: field for metadata in described.values() for field in rows_of(metadata, "Fields")}  # type: ignore[arg-type]
    assert (fields["Temperature"]["BuiltInType"], fields["State"]["BuiltInType"]) == (11, 12)
    assert "°C" in json.dumps(fields["Temperature"]["Properties"], ensure_ascii=False)


def test_the_cloudevents_sdk_reads_the_events(tmp_path: Path, factory: Factory, broker: Process) -> None:
    with running(example("cloudevents", tmp_path, factory, broker)):
        got = received(broker, "factory/hall-1/line-1/assembly/#", lambda got: len(got) >= 10)
    events = []
    for message in got:
        assert isinstance(message.payload, bytes)
        told = vars(message.properties)
        events.append(read_event(message.payload, told["ContentType"], told["UserProperty"]))
    assert {"ua-metadata", "ua-keyframe"} & {event.get_type() for event in events}
    assert {event.get_source() for event in events} == {"urn:connected-factory:edge-1:demo"}


def test_telemetry_of_the_open_manufacturing_platform_fits_its_schema(
    tmp_path: Path, factory: Factory, broker: Process
) -> None:
    with running(example("omp", tmp_path, factory, broker)):
        got = received(broker, "telemetry/hall-1/line-1/assembly", lambda got: len(got) >= 10)
    payloads = [body_of(message, "omp")["payload"] for message in got]
    assert {each["dataSource"]["name"] for each in payloads} == {"demo"}  # type: ignore[index]
    assert TAGS & {each["data"]["name"] for each in payloads}  # type: ignore[index]


def test_flat_messages_have_tags_as_keys_and_their_numbers_beside(
    tmp_path: Path, factory: Factory, broker: Process
) -> None:
    with running(example("flat", tmp_path, factory, broker)):
        got = received(broker, "factory/hall-1/line-1/assembly", lambda got: len(got) >= 10)
    bodies = [body_of(message, "flat") for message in got]
    assert TAGS & set[str]().union(*bodies)
    assert all("timestamp" in body and len(body) > 1 for body in bodies)
    numbers = [int(dict(vars(message.properties)["UserProperty"])["seq"]) for message in got]
    assert numbers == list(range(numbers[0], numbers[0] + len(got)))


def test_every_rule_of_the_shaping_example_finds_values(tmp_path: Path, factory: Factory, broker: Process) -> None:
    wanted = {"temperature", "CycleTime.mean", "CycleTime.count", "Energy", "State"}

    def names(got: Got) -> set[object]:
        return {row["name"] for m in got for row in rows_of(body_of(m, "json"), "values")}

    with running(example("shaping", tmp_path, factory, broker)) as gateway:
        got = received(broker, "factory/hall-1/line-1/assembly", lambda got: names(got) >= wanted)
        assert "Temperature" not in names(got)

        def all_held_some_back() -> bool:
            held = gateway.metrics
            return all(held[f'gateway_values_filtered_total{{rule="{rule}",source="demo"}}'] for rule in RULES)

        wait_until(all_held_some_back, f"each of {RULES} to hold back a value")
