"""What a table of tags costs once, when its first values come: it may have 100 000 tags of few machines."""

from collections.abc import Mapping

import pytest

from gateway.model import Priority, Tag
from gateway.payload.layout import Destination, Layout, Topics
from gateway.topics import ANY_BROKER, Rules, expand

MACHINES = [{"machine": "m0"}, {"machine": "m1"}]
TAGS = [
    Tag(f"t{n}", f"i={n}", MACHINES[n % 2], priority=Priority.STATE if n == 7 else Priority.TELEMETRY)
    for n in range(100)
]


@pytest.mark.parametrize(("values", "worked_out"), [("p/{machine}", 3), ("p/{machine}/{tag}", 103)])
def test_the_topics_of_a_machine_are_worked_out_once_for_all_its_tags(
    values: str, worked_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def counted(template: str, fields: Mapping[str, str], rules: Rules = ANY_BROKER) -> str:
        done.append(template)
        return expand(template, fields, rules)

    monkeypatch.setattr("gateway.payload.layout.expand", counted)
    layout = Layout(TAGS, "s", Topics(values), "g", "g.e")
    assert len(done) == worked_out
    for handle, tag in enumerate(TAGS):
        machine, state = tag.fields["machine"], ".state" if handle == 7 else ""
        topic = values.replace("{machine}", machine).replace("{tag}", tag.name)
        stream = f"g.e{state}/s/p/{machine}"
        assert layout.places[layout.group_of[handle]] == Destination(topic, stream, tag.priority)
