"""The composition root: what exists, for how long, and in which order it ends.

The outbox is opened first, then HTTP, the sinks and the sources.  They end in the opposite order: the sources stop
first, the outbox gets a grace time to empty, then the brokers are left.  The rest stays on the disk.

`gateway/run/reconcile.py` starts the peers and changes them while the gateway runs.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from platform import python_version
from typing import TypeVar

import structlog

from gateway.cancellation import unless_asked
from gateway.commands.request import ITSELF
from gateway.config import Config
from gateway.errors import ConfigError, Unavailable
from gateway.gc_tuning import spare_the_collector
from gateway.happened import remembering
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.logs import set_level
from gateway.metrics import Metrics
from gateway.metrics.tags import TagGauges
from gateway.notify import notify
from gateway.outbox import Buffer, open_outbox
from gateway.payload.forms import Json
from gateway.payload.presence import hash_of
from gateway.pipeline.announce import Teller, announce
from gateway.run.added import Added, still_allowed
from gateway.run.added_file import load_added
from gateway.run.changes import Changes
from gateway.run.commands import commands_of
from gateway.run.gateway import Gateway, Membership, count_drop, own_version
from gateway.run.itself import ItselfOf
from gateway.run.reconcile import Peers, check, peers_of
from gateway.run.sink_unit import forget_brokers
from gateway.run.taking import Reload, Told, tell
from gateway.telemetry.sending import telling

Begun = TypeVar("Begun")

TRY_AGAIN_S = 2.0
"""After which time what a member of a group has taken is begun again, when that failed."""
LOOK_EVERY_S = 0.25
"""How often the lag of the event loop is measured, in seconds."""


async def run(
    config: Config,
    stop: asyncio.Event,
    on_running: Callable[[Gateway], None] = lambda gateway: None,
    reload: Reload | None = None,
) -> None:
    """Carry values until `stop` is set, then end in order.  Raises `ConfigError` when the configuration cannot work."""
    log, config = structlog.get_logger("gateway"), of_member(config)
    await in_thread(partial(check, config), "look at secrets and keys")
    set_level(logging.getLevelNamesMapping()[config.log_level.upper()])
    metrics = _metrics(config)
    await in_thread(partial(forget_brokers, config), "forget brokers")
    async with AsyncExitStack() as stack:
        happened = stack.enter_context(remembering())
        traces = await stack.enter_async_context(telling(config, metrics))
        opened = await _unless_stopped(stop, lambda: stack.enter_async_context(_buffer_of(config, metrics)))
        if opened is None:
            log.info("stopped before it began")
            return
        outbox, group = opened
        beside = await stack.enter_async_context(asyncio.TaskGroup())
        tags = TagGauges(config, metrics.left_out.labels("tags"))
        reload = reload or Reload(asyncio.Event(), None)
        http = Link("http", "")
        gateway = Gateway(
            config, metrics, tags, outbox, http, reload=reload, happened=happened, group=group, traces=traces
        )
        _show(gateway)
        await in_thread(gateway.losses.read, "read what was lost before")
        added = await in_thread(partial(_added_before, config), "read the selections made at run time")
        async with commands_of(gateway, ItselfOf(gateway, reload)), peers_of(gateway) as peers:
            gateway.selected = added
            await peers.take(config, added)
            shared = [
                beside.create_task(unless_asked(partial(_announce, gateway)), name="announce"),
                beside.create_task(unless_asked(partial(_watch_loop, metrics)), name="event loop lag"),
                beside.create_task(spare_the_collector(gateway.links), name="spare the collector"),
                beside.create_task(gateway.losses.keep(gateway.dropped), name="keep what was lost"),
                beside.create_task(gateway.history.keep(partial(_figures, gateway)), name="history"),
            ]
            part = beside.create_task(_take_part(gateway, reload), name="take part in the group")
            on_running(gateway)
            log.info("started", name=config.name, sources=len(config.sources), stored_values=gateway.stored_values)
            await _serve(gateway, peers, stop, reload)
            part.cancel()
            notify("STOPPING=1")
        for task in shared:
            task.cancel()
        gateway.losses.count(gateway.dropped(), at_once=True)
        await gateway.losses.write()
    log.info("stopped", stored_values=gateway.stored_values)


async def _unless_stopped(stop: asyncio.Event, begin: Callable[[], Awaitable[Begun]]) -> Begun | None:
    """What begins, which may take any time: the log of a group needs its NATS.  None: the process is to stop first."""

    async def give_up() -> None:
        await stop.wait()
        beginning.reschedule(0.0)

    try:
        async with asyncio.timeout(None) as beginning, asyncio.TaskGroup() as beside:
            watch = beside.create_task(give_up(), name="stop before it began")
            outcome = await _outcome_of(begin)
            watch.cancel()
    except TimeoutError:
        if not stop.is_set():
            raise
        return None
    if isinstance(outcome, (ConfigError, Unavailable)):
        raise outcome
    return outcome


async def _outcome_of(begin: Callable[[], Awaitable[Begun]]) -> Begun | ConfigError | Unavailable:
    try:
        return await begin()
    except (ConfigError, Unavailable) as error:
        return error


@asynccontextmanager
async def _buffer_of(config: Config, metrics: Metrics) -> AsyncIterator[tuple[Buffer, tuple[Membership, Link] | None]]:
    """What is between sources and brokers: the outbox of this machine, or the log of a group, and the part in it."""
    if config.group is not None:
        try:  # nothing of NATS is imported by a gateway that is alone
            from gateway.group.opening import open_group
            from gateway.metrics.group import GroupMetrics
        except ModuleNotFoundError as error:
            problem = f"group: {error.name} is not installed: pip install 'connected-factory[group]'"
            raise ConfigError([problem]) from error
        link = Link("group", ", ".join(config.group.servers))
        identity = await in_thread(partial(_identity_of, config), "read the certificates that a group shares")
        async with open_group(config.group, link, identity=identity, metrics=GroupMetrics(metrics.registry)) as member:
            yield member.outbox, (member, link)
        return
    routes = {broker: route.name for broker, route in config.routes.items()}
    drops, commits = partial(count_drop, metrics), metrics.commit_seconds.observe
    async with open_outbox(config.outbox, readers=routes, on_drop=drops, on_commit=commits) as outbox:
        yield outbox, None


def _identity_of(config: Config) -> str:
    """A digest of the certificates that OPC UA servers know this gateway by.  Reads files."""
    folders = sorted({source.security.pki for source in config.sources if source.security is not None})
    paths = [folder / "own" / "certificate.der" for folder in folders]
    found = b"".join(path.read_bytes() for path in paths if path.is_file())
    return hashlib.sha256(found).hexdigest()[:16] if found else ""


async def _take_part(gateway: Gateway, reload: Reload) -> None:
    """Take and hand over sources and brokers, as a member of a group, until cancelled."""
    if gateway.group is None:
        return

    def works() -> Mapping[str, str]:
        routes = {f"broker/{broker}": route.name for broker, route in gateway.config.routes.items()}
        sources = [source.name for source in gateway.config.sources]
        commands = gateway.config.commands
        if commands is not None and any(rule.source is None for rule in commands.rules):
            sources.append(ITSELF)  # its log has the journal of what the gateway itself is asked
        return routes | {f"source/{name}": "" for name in sources}

    await gateway.group[0].take_part(works, reload.take_again, reload.asked.set)


def of_member(config: Config) -> Config:
    """The configuration as a member of a group uses it: several on one host have folders of their own."""
    if config.group is None or config.group.member is None:
        return config
    path = config.outbox.path / config.group.member
    return config.model_copy(update={"outbox": config.outbox.model_copy(update={"path": path})})


def _read_for_member(read: Callable[[], Config]) -> Config:
    return of_member(read())


def _metrics(config: Config) -> Metrics:
    metrics = Metrics(most_sources=config.http.max_sources)
    metrics.started.set_to_current_time()
    metrics.config_in_use(hash_of(config))
    metrics.build.info({"version": own_version(), "python": python_version()})
    return metrics


async def _announce(gateway: Gateway) -> None:
    """Announce losses in the format configured at that moment."""
    teller = Teller(gateway.config.name, gateway.stream_prefix, gateway.payload_of)
    await announce(gateway.losers, gateway.outbox, teller, gateway.note_loss)


# -- a changed configuration


async def _serve(gateway: Gateway, peers: Peers, stop: asyncio.Event, reload: Reload) -> None:
    """Run until told to stop, and take new configurations meanwhile."""
    while not stop.is_set():
        await _either(stop, reload.asked, reload.regroup)
        if stop.is_set():
            continue
        if reload.regroup.is_set():
            reload.regroup.clear()
            waiting_for_group, reload.regrouped[:] = reload.regrouped[:], ()
            told = await _take(gateway, peers, lambda: gateway.configured)
            if isinstance(told, Exception) and gateway.group is not None:  # such as a folder that another process uses
                asyncio.get_running_loop().call_later(TRY_AGAIN_S, reload.regroup.set)
            for each in waiting_for_group:
                if not each.done():
                    each.set_result(None)
        if reload.read is None or not reload.asked.is_set():
            continue
        waiting = reload.begin()
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        told = await _take(gateway, peers, partial(_read_for_member, reload.read))
        gateway.refused = (time.time(), "; ".join(str(told).split("\n"))) if isinstance(told, Exception) else None
        tell(waiting, told)
        notify("READY=1")


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(event.wait(), name="wait for either") for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


async def _take(gateway: Gateway, peers: Peers, read: Callable[[], Config]) -> Told | ConfigError | Unavailable:
    """Change to another configuration or keep the present one, and log the result."""
    log = structlog.get_logger("gateway")
    try:
        config = await in_thread(partial(_checked, read), "read the configuration")
        wanted = gateway.selected
        added = _allowed_of(config, wanted)
        changes, needs_restart = await peers.take(config, added)
        gateway.selected = tuple(each for each in gateway.selected if each in added or each not in wanted)
    except (ConfigError, Unavailable) as error:
        gateway.metrics.reload_refused()
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        log.error("the new configuration is refused, the earlier one stays in use", problems=problems)
        return error
    gateway.metrics.reload_taken(hash_of(gateway.configured))
    log.info("configuration taken", **_told(changes))
    if needs_restart:
        log.warning("changes that need a restart are not in effect", keys=needs_restart)
    return {**_told(changes), **({"needs_restart": list(needs_restart)} if needs_restart else {})}


def _checked(read: Callable[[], Config]) -> Config:
    """A configuration whose secrets and keys can be read.  Raises `ConfigError` with every problem."""
    config = read()
    check(config)
    return config


def _told(changes: Changes) -> dict[str, Json]:
    return {kind: list(names) for kind, names in changes.told.items()} or {"what": "nothing changed"}


def _added_before(config: Config) -> tuple[Added, ...]:
    """What was selected at run time by an earlier process.  Raises `ConfigError` where that cannot be read."""
    try:
        return _allowed_of(config, load_added(config.outbox.path))
    except (OSError, ValueError) as error:
        raise ConfigError([f"the selections made at run time: {error}: remove the file to go without them"]) from error


def _allowed_of(config: Config, added: Sequence[Added]) -> tuple[Added, ...]:
    found = still_allowed(config, added)
    if gone := [f"{each.source} {each.name}" for each in added if each not in found]:
        log = structlog.get_logger("gateway")
        log.warning("selections made at run time are not allowed any more: they are left out", tags=gone[:20])
    return found


# -- figures


async def _watch_loop(metrics: Metrics) -> None:
    """Measure the lag of the event loop and feed the watchdog, until cancelled."""
    loop = asyncio.get_running_loop()
    notify("READY=1")
    while True:
        notify("WATCHDOG=1")
        due_s = loop.time() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        metrics.loop_lag.observe(max(0.0, loop.time() - due_s))


def _figures(gateway: Gateway) -> tuple[int, int]:
    """Values delivered since the start, over all brokers, and values on the disk."""
    return sum(queue.delivered_values for queue in gateway.queues.values()), gateway.stored_values


def _show(gateway: Gateway) -> None:
    """Register the figures that are computed at each scrape."""
    metrics, outbox = gateway.metrics, gateway.outbox
    metrics.stored_bytes.set_function(
        lambda: outbox.bytes + sum(s.refused.bytes + s.dead.bytes for s in gateway.queues.values())
    )
    metrics.oldest_age.set_function(lambda: outbox.oldest_age_s)
    metrics.ready.set_function(lambda: all(link.is_up for link in gateway.links))
