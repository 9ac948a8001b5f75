"""A fault moves the panel it should move: those of a stack in which much is wrong, one after another.

Machines, servers and brokers that come and go are in `test_live.py`.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.panels import queries, query
from tests.support.programs import SOURCE, SUBTREE, wait_until
from tests.support.prometheus import Stack, stack_of

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
FLEET = "fleet: Which gateways are there, and how do they do?"
PATIENT = {"ack_timeout": "60s", "keep_alive": "60s"}
"""A broker that stands still for some seconds is not given up."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("faults")
    rules = folder / "acl"
    rules.write_text("topic readwrite #\ntopic deny forbidden/#\n", encoding="utf-8")
    faults = ("--faults", str(HERE / "faults.yaml"))
    with stack_of(folder, HERE / "jams.yaml", *faults, broker=f"acl_file {rules}", sink=PATIENT) as made:
        yield made


def moves(stack: Stack, panel: str, good: Callable[[float], bool], column: str = "", **labels: str) -> None:
    """Wait until a line of a panel, or the number in a column of its table, is as it should be."""
    asked = [query(panel, column)] if column else [expr for title, expr in queries() if title == panel]

    def shown() -> list[float]:
        found = [series for expr in asked for series in stack.prometheus.ask(expr)]
        return [series.last for series in found if labels.items() <= series.labels.items()]

    wait_until(lambda: any(map(good, shown())), f"{panel} to move: {shown()}", 120)


def test_a_failing_sensor_raises_its_alert(stack: Stack) -> None:
    moves(stack, "gateway: How good are the values?", lambda rate: rate > 1, quality="bad")
    moves(stack, "gateway: How good are the values?", lambda rate: rate > 1, quality="good")


def test_a_slow_server_clock_raises_its_alert(stack: Stack) -> None:
    moves(stack, "gateway: How far are the clocks apart?", lambda seconds: -22 < seconds < -18)
    moves(stack, "gateway: Whose values are old?", lambda seconds: seconds > 10, "B")
    moves(stack, "gateway: How old is a value on arrival?", lambda rate: rate == 0, le="10.0")
    moves(stack, "gateway: How old is a value on arrival?", lambda rate: rate > 0, le="30.0")


def test_a_configuration_with_a_mistake_and_one_with_a_variable_that_is_not_there(stack: Stack) -> None:
    good, source = dict(stack.gateway.config), {**SOURCE, "url": stack.factory.url, "publishing_interval": "250ms"}
    stack.gateway.reload(brokr={})
    moves(stack, FLEET, lambda taken: taken == 0, "G")
    nowhere = {"node": "nsu=urn:connected-factory:simulator;s=nowhere", "fields": {"line": "x", "machine": "y"}}
    stack.gateway.config = good
    stack.gateway.reload(sources=[{**source, "select": [SUBTREE, nowhere]}])
    moves(stack, FLEET, lambda taken: taken == 1, "G")
    moves(stack, "gateway: Are all variables subscribed?", lambda count: count == 1, "B")


def test_a_gateway_that_stands_still(stack: Stack) -> None:
    late = "gateway: How late is the gateway itself?"
    moves(stack, late, lambda seconds: seconds < 0.05)
    stack.gateway.process.send_signal(signal.SIGSTOP)
    try:
        silent = 'max_over_time(up{job="gateway"}[3s])'
        wait_until(lambda: stack.prometheus.figure(silent) == 0, "scrapes of it to fail for some seconds")
    finally:
        stack.gateway.process.send_signal(signal.SIGCONT)
    moves(stack, late, lambda seconds: seconds > 0.05)


def test_a_broker_that_stands_still_and_is_killed_with_publishes_open(stack: Stack) -> None:
    quick = "delivery: How quickly does the broker answer?"
    stack.broker.stall()
    try:
        moves(stack, "delivery: How long do values wait?", lambda seconds: seconds > 2)
        moves(stack, "fleet: How old is the oldest value?", lambda seconds: seconds > 2)
        moves(stack, "fleet: How much waits in the field?", lambda values: values > 20)
    finally:
        stack.broker.go_on()

    def slow() -> float:
        found = {each.labels["le"]: each.last for each in stack.prometheus.ask(query(quick))}
        return found["+Inf"] - found["1.0"]

    wait_until(lambda: slow() > 0, "an answer after more than a second to show")
    again = "delivery: How much is sent again?"
    moves(stack, again, lambda rate: rate == 0)
    stack.broker.stall()
    wait_until(lambda: stack.gateway.total("gateway_sink_in_flight") > 0, "publishes to be open")
    stack.broker.kill()
    stack.broker.restart()
    moves(stack, again, lambda rate: rate > 0)


def test_a_backlog_that_may_only_trickle(stack: Stack) -> None:
    sink = stack.gateway.config["broker"]
    assert isinstance(sink, dict)
    stack.gateway.reload(broker={**sink, "replay": {"delay": "500ms", "max_rate": "10KiB"}, "window": 2})
    moves(stack, "delivery: Is publishing held back?", lambda share: share == 0)
    stack.broker.stall()
    try:
        moves(stack, "gateway: How much waits on disk?", lambda values: values > 200)
    finally:
        stack.broker.go_on()
    moves(stack, "delivery: Is publishing held back?", lambda share: share > 0.05)


def test_a_broker_that_takes_only_short_messages_and_one_that_refuses_a_topic(stack: Stack) -> None:
    sink = stack.gateway.config["broker"]
    assert isinstance(sink, dict)
    moves(stack, "gateway: Was anything lost?", lambda values: values == 0)
    stack.gateway.reload(broker={**sink, "max_packet": "150B"})
    moves(stack, "gateway: Was anything lost?", lambda values: values > 0)
    moves(stack, "plant: How much wants attention?", lambda alerts: alerts > 0)
    moves(stack, "plant: What wants attention?", lambda fires: fires > 0, alertname="DataLoss")
    stack.gateway.reload(broker=sink, payload={"topic": "forbidden/{line}/{machine}"})
    moves(stack, "delivery: What does the broker refuse?", lambda messages: messages > 0)


def test_a_gateway_that_is_started_again(stack: Stack) -> None:
    moves(stack, FLEET, lambda seconds: seconds > 20, "H")
    stack.gateway.restart()
    moves(stack, FLEET, lambda seconds: 0 < seconds < 20, "H")
    moves(stack, "fleet: Which are ready?", lambda ready: ready == 1)
