"""Newest first, end to end: new values pass the backlog, and a kill -9 in the middle costs nothing but a window."""

from collections import Counter, defaultdict
from pathlib import Path

from tests.support.brokers import mosquitto
from tests.support.programs import Factory, Gateway, running, wait_until
from tests.support.proxy import Proxy
from tests.support.subscriber import Subscriber, seq_of, subscriber
from tests.support.threaded import proxy_thread

WINDOW = 10


def seqs_of(checker: Subscriber) -> dict[str, list[int]]:
    """By stream: every number as it came, repeats as well."""
    found: dict[str, list[int]] = defaultdict(list)
    for _, body in list(checker.messages):
        found[str(body["stream"])].append(seq_of(body))
    return found


def passed(checker: Subscriber) -> bool:
    """Whether anything came after something newer of its stream."""
    return any(seqs != sorted(seqs) for seqs in seqs_of(checker).values())


def test_after_a_kill_during_a_replay_every_message_arrives_and_delivered_ones_are_not_repeated(
    tmp_path: Path,
) -> None:
    with (
        mosquitto(tmp_path, "max_inflight_messages 0") as broker,
        proxy_thread(broker.port) as proxy,
        subscriber(broker.url) as checker,
        running(Factory(tmp_path, "--speed", "5")) as factory,
    ):
        factory.wait_said("serving")
        settings = {
            "url": f"mqtt://127.0.0.1:{proxy.port}",
            "window": WINDOW,
            "ack_timeout": "3s",
            "replay": {"order": "newest-first", "delay": "500ms", "max_rate": "10 kB"},
        }
        with running(Gateway(tmp_path, factory.url, "", broker=settings)) as gateway:
            checker.wait_values(100)
            proxy.do(Proxy.refuse)
            wait_until(lambda: gateway.total("gateway_outbox_messages") > 150, "a backlog")
            proxy.do(Proxy.heal)
            wait_until(lambda: passed(checker), "something of the backlog behind something newer")
            gateway.kill()
            gateway.restart()
            gateway.wait_ready()
            wait_until(lambda: gateway.total("gateway_outbox_left_behind_messages") == 0, "the backlog to be through")
            assert gateway.total("gateway_values_replayed_total") > 0
            assert gateway.stop() == 0
            assert gateway.said("stopped", stored_values=0) == 1
        for stream, seqs in seqs_of(checker).items():
            assert sorted(set(seqs)) == list(range(1, max(seqs) + 1)), stream
        repeats = sum(count - 1 for seqs in seqs_of(checker).values() for count in Counter(seqs).values())
        assert repeats <= 2 * WINDOW  # a lost connection, and a kill
