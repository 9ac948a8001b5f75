"""The composition root: what exists, for how long, in which order it ends.

Entered: the outboxes, HTTP, the way to the broker, then the sources.  Left in the opposite order: the sources stop
first, the outbox gets a grace time to empty, then the broker is left; what remains is on disk.

A changed configuration is compared with the one in use (`gateway/run/changes.py`); who is not concerned by the change
goes on undisturbed.  One with a mistake changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from platform import python_version

import structlog

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.gc_tuning import spare_the_collector
from gateway.link import Link
from gateway.logs import set_level
from gateway.metrics import Metrics
from gateway.metrics.tags import TagGauges
from gateway.model import Loss, Message
from gateway.notify import notify
from gateway.opcua.session import security as opcua
from gateway.outbox import open_outbox
from gateway.payload.choose import announcement_for
from gateway.payload.presence import hash_of
from gateway.pipeline.announce import announce
from gateway.run.changes import Change, Picture, change_of, in_effect, picture_of
from gateway.run.peers import DISTRIBUTION, Gateway, Peers, Tasks, count_drop, forget_brokers
from gateway.run.sink_kinds import check_sinks
from gateway.web import serve_http

LOOK_EVERY_S = 0.25
"""How often the event loop is looked at."""


@dataclass(frozen=True, slots=True)
class Reload:
    """How a changed configuration comes in."""

    asked: asyncio.Event
    """Set when somebody asks (SIGHUP)."""
    read: Callable[[], Config]
    """Raises `ConfigError` with every mistake."""


async def run(
    config: Config,
    stop: asyncio.Event,
    on_running: Callable[[Gateway], None] = lambda gateway: None,
    reload: Reload | None = None,
) -> None:
    """Carry values until `stop` is set, then end in order.  Raises `ConfigError` for what can never work."""
    log = structlog.get_logger("gateway")
    check_sinks(config.all_brokers)
    metrics = Metrics()
    metrics.started.set_to_current_time()
    metrics.config_in_use(hash_of(config))
    metrics.build.info({"version": version(DISTRIBUTION), "python": python_version()})
    set_level(logging.getLevelNamesMapping()[config.log_level.upper()])
    names = tuple(broker.name for broker in config.all_brokers)
    drops, commits = partial(count_drop, metrics), metrics.commit_seconds.observe
    await asyncio.to_thread(forget_brokers, config)
    async with (
        open_outbox(config.outbox, readers=names, on_drop=drops, on_commit=commits) as outbox,
        AsyncExitStack() as stack,
        asyncio.TaskGroup() as downstream,
    ):
        tags = TagGauges(config, metrics.left_out.labels("tags"))
        gateway = Gateway(config, metrics, tags, outbox, Link("http", ""))
        _show(gateway)
        below = Tasks(downstream)
        async with asyncio.TaskGroup() as upstream:
            above = Tasks(upstream)
            peers = Peers(gateway, above, below, stack)
            await _begin(gateway, peers, below)
            on_running(gateway)
            log.info("started", name=config.name, sources=len(config.sources), stored_values=gateway.stored_values)
            await _serve(gateway, peers, below, stop, reload)
            notify("STOPPING=1")
            above.cancel()
        if any(link.is_up for link in gateway.brokers.values()):
            with suppress(TimeoutError):
                await asyncio.wait_for(outbox.wait_empty(), gateway.config.stop_grace)
            await peers.say_goodbye()
        below.cancel()
    log.info("stopped", stored_values=gateway.stored_values)


async def _begin(gateway: Gateway, peers: Peers, below: Tasks) -> None:
    config = gateway.config
    for broker in config.all_brokers:
        await peers.open_broker(config, broker)
    _begin_http(gateway, below)

    def told(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        return announcement_for(gateway.config)(loss, stream, topic, seq)

    def own_topic() -> str:
        return gateway.config.payload.losses_topic(config.name)

    telling = announce(gateway.losers, gateway.outbox, gateway.stream_prefix, own_topic, told)
    below.begin("announce", telling)
    below.begin("event loop lag", _watch_loop(gateway.metrics))
    for broker in config.all_brokers:
        peers.begin_broker(broker)
    for source in config.sources:
        peers.begin_source(source)
    below.begin("spare the collector", spare_the_collector(gateway.links))


def _begin_http(gateway: Gateway, below: Tasks) -> None:
    config = gateway.config.http
    gateway.http = Link("http", f"{config.host}:{config.port}")
    pages = {"/metrics": gateway.metrics.registry, "/metrics/tags": gateway.tags.registry}
    served = serve_http(config, pages, gateway.links, gateway.http, lambda address: None)
    below.begin("http", served)


# -- a changed configuration


async def _serve(gateway: Gateway, peers: Peers, below: Tasks, stop: asyncio.Event, reload: Reload | None) -> None:
    """Until told to stop; meanwhile take the configurations that come."""
    if reload is None:
        await stop.wait()
        return
    picture = await asyncio.to_thread(picture_of, gateway.config)
    while not stop.is_set():
        await _either(stop, reload.asked)
        if stop.is_set() or not reload.asked.is_set():
            continue
        reload.asked.clear()
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            picture = await _take(gateway, peers, below, picture, await asyncio.to_thread(_checked, reload.read))
        except ConfigError as error:
            gateway.metrics.reload_refused()
            log = structlog.get_logger("gateway")
            log.error("the new configuration is refused, the earlier one stays in use", problems=error.problems)
        notify("READY=1")


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(event.wait(), name="wait for either") for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def _checked(read: Callable[[], Config]) -> Config:
    """A configuration whose secrets and keys can be read as well.  Raises `ConfigError` with every problem."""
    config = read()
    problems: list[str] = []
    checks = [partial(check_sinks, config.all_brokers), *(partial(opcua.check, source) for source in config.sources)]
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


async def _take(gateway: Gateway, peers: Peers, below: Tasks, before: Picture, wanted: Config) -> Picture:
    """Go over to another configuration, and tell what became of it.

    Raises `ConfigError`, before anything has changed.
    """
    config, needs_restart = in_effect(gateway.config, wanted)
    now = await asyncio.to_thread(picture_of, config)
    sources, brokers = change_of(before.sources, now.sources), change_of(before.brokers, now.brokers)
    by_name = {broker.name: broker for broker in config.all_brokers}
    for name in brokers.begun:
        await peers.open_broker(config, by_name[name])
    http_changed = config.http != gateway.config.http
    gateway.config = config
    set_level(logging.getLevelNamesMapping()[config.log_level.upper()])
    peers.keep_within(config)
    gateway.tags.configure(config)
    gateway.metrics.outbox_capacity.set(config.outbox.max_bytes)
    await _change_peers(gateway, peers, sources, brokers)
    if http_changed:
        await below.end("http")
        _begin_http(gateway, below)
    gateway.metrics.reload_taken(hash_of(config))
    _tell(sources, brokers, needs_restart)
    return now


async def _change_peers(gateway: Gateway, peers: Peers, sources: Change, brokers: Change) -> None:
    """Away with what goes, sources first; then what comes, brokers first."""
    config = gateway.config
    for name in (*sources.ended, *sources.connected_again):
        await peers.leave_source(name)
    for name in sources.ended:
        gateway.metrics.source_ends(name)
    for name in (*brokers.ended, *brokers.connected_again):
        await peers.leave_broker(name)
    for name in brokers.ended:
        await peers.forget_broker(name)
    if brokers.ended:
        await asyncio.to_thread(forget_brokers, config)
    for broker in config.all_brokers:
        if broker.name in (*brokers.begun, *brokers.connected_again):
            peers.begin_broker(broker)
    for source in config.sources:
        if source.name in (*sources.begun, *sources.connected_again):
            peers.begin_source(source)
        elif source.name in sources.changed:
            await peers.change_source(source)


def _tell(sources: Change, brokers: Change, needs_restart: list[str]) -> None:
    log = structlog.get_logger("gateway")
    told = {
        f"{kind}_{what}": list(names)
        for kind, change in (("sources", sources), ("brokers", brokers))
        for what in ("ended", "begun", "connected_again", "changed")
        if (names := getattr(change, what))
    }
    log.info("configuration taken", **told)
    if needs_restart:
        log.warning("changes that need a restart are not in effect", keys=needs_restart)


# -- figures


async def _watch_loop(metrics: Metrics) -> None:
    """Observe for ever by how much the event loop is late, and feed the watchdog."""
    loop = asyncio.get_running_loop()
    notify("READY=1")
    while True:
        notify("WATCHDOG=1")
        due_s = loop.time() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        metrics.loop_lag.observe(max(0.0, loop.time() - due_s))


def _show(gateway: Gateway) -> None:
    """Figures that are looked up when somebody asks, not kept."""
    metrics, outbox = gateway.metrics, gateway.outbox
    metrics.stored_bytes.set_function(
        lambda: outbox.bytes + sum(s.refused.bytes + s.dead.bytes for s in gateway.queues.values())
    )
    metrics.outbox_capacity.set(gateway.config.outbox.max_bytes)
    metrics.oldest_age.set_function(lambda: outbox.oldest_age_s)
    metrics.ready.set_function(lambda: all(link.is_up for link in gateway.links))
