"""Applies the fault schedule (`simulators/faults.py`) to servers, and records the ground truth.

Every fault takes effect between two slices of simulated time, in the order of the schedule.  What must wait for a
server (closing sessions) is left to one task, which keeps that order.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from asyncua import ua
from asyncua.common.utils import ServiceError

from simulators.faults import (
    MOMENTS,
    Active,
    ClockError,
    DropConnections,
    Edge,
    ErrorAnswers,
    FaultLog,
    KillSessions,
    KillSubscriptions,
    NumbersFallBack,
    RefuseConnections,
    RemoveNode,
    Schedule,
    ServerRestart,
    SessionLimit,
    SlowAnswers,
    Status,
)
from simulators.server.distortion import Distortion, distortion_of
from simulators.server.nodes import ObjectIds, StatusCodes, numeric, status
from simulators.server.plant_server import PlantServer
from simulators.server.sessions import Core
from simulators.server.subscriptions import Subscription

USUAL_SESSION_LIMIT = 100
UNDISTURBED = frozenset(
    numeric(getattr(ObjectIds, f"{name}Request_Encoding_DefaultBinary"))
    for name in ("CreateSession", "ActivateSession", "CloseSession", "CloseSecureChannel", "GetEndpoints", "Publish")
)
"""Requests that are never answered with an error, since no client could connect without them."""

Restart = Callable[[PlantServer, ServerRestart, float], None]
"""Takes a server away until a simulated time."""


class Injection:
    """Applies a schedule to the servers of one simulator."""

    def __init__(
        self, schedule: Schedule, log: FaultLog, plant_servers: Sequence[PlantServer | None], restart: Restart, *,
        seed: int, count: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`plant_servers` may change; None is a server that is away.  `count` is called with the kind of each fault."""
        self._schedule = schedule
        self._log = log
        self._faces = plant_servers
        self._restart = restart
        self._rng = random.Random(seed)
        self._count = count
        self._now_s = 0.0
        self._turns: dict[Active, int] = {}
        self._work: asyncio.Queue[Callable[[], Awaitable[object]]] = asyncio.Queue()

    async def work(self) -> None:
        """Do the work that must wait for servers, until cancelled."""
        while True:
            await (await self._work.get())()

    def step(self, now_s: float) -> None:
        """Begin and end the faults that are due."""
        self._now_s = now_s
        for edge in self._schedule.due(now_s):
            moment = isinstance(edge.active.fault, MOMENTS)
            if edge.begins:
                self._count(edge.active.fault.kind)
            if edge.begins or not moment:
                self._log.add(edge, self._apply(edge))
        for active in self._schedule.active:
            self._keep_up(active)

    def adopt(self, server: PlantServer) -> None:
        """Apply the active faults to a server that is new or back."""
        self._refresh(server.endpoint.iserver)
        for active in self._schedule.active:
            self._distort(server, active)

    def _apply(self, edge: Edge) -> list[str]:
        affected: list[str] = []
        for server in [server for server in self._faces if server is not None]:
            core = server.endpoint.iserver
            self._refresh(core)
            if edge.begins:
                affected += self._strike(server, core, edge.active) + self._distort(server, edge.active)
            else:
                affected += self._heal(server, edge.active)
        return affected

    def _refresh(self, core: Core) -> None:
        """Set everything that follows from the active faults, whatever its earlier value."""
        faults = [active.fault for active in self._schedule.active]
        core.admits = lambda: not any(isinstance(a.fault, RefuseConnections) for a in self._schedule.active)
        core.session_limit = min((f.limit for f in faults if isinstance(f, SessionLimit)), default=USUAL_SESSION_LIMIT)
        core.disturb = self._disturb if any(isinstance(f, SlowAnswers | ErrorAnswers) for f in faults) else None

    async def _disturb(self, request: ua.NodeId) -> None:
        for active in tuple(self._schedule.active):
            fault = active.fault
            if isinstance(fault, SlowAnswers):
                await asyncio.sleep(fault.delay)
            elif isinstance(fault, ErrorAnswers) and request not in UNDISTURBED and self._rng.random() < fault.rate:
                raise ServiceError(int(getattr(StatusCodes, fault.code)))

    def _strike(self, server: PlantServer, core: Core, active: Active) -> list[str]:
        """Begin a fault of connections, sessions or the whole server.  Returns what it affects."""
        fault = active.fault
        if isinstance(fault, ServerRestart):
            self._restart(server, fault, active.ends_s)
            return [server.endpoint.url]
        if isinstance(fault, DropConnections):
            peers = [str(transport.get_extra_info("peername")) for transport in core.asyncio_transports]
            for transport in tuple(core.asyncio_transports):
                transport.abort()
            return peers
        if isinstance(fault, KillSessions):
            for session in core.sessions:
                self._work.put_nowait(session.close_session)
            return [session.name for session in core.sessions]
        if isinstance(fault, KillSubscriptions):
            doomed = [s for s in core.subscriptions.subscriptions.values() if isinstance(s, Subscription)]
            for subscription in doomed:
                self._work.put_nowait(_killing(core, subscription, fault.notice))
            return [str(subscription.data.SubscriptionId) for subscription in doomed]
        if isinstance(fault, NumbersFallBack):
            known = [s for s in core.subscriptions.subscriptions.values() if isinstance(s, Subscription)]
            for subscription in known:
                subscription.number_from(fault.to)
            return [str(subscription.data.SubscriptionId) for subscription in known]
        return []

    def _distort(self, server: PlantServer, active: Active) -> list[str]:
        """Begin a fault of values, nodes or the clock.  Returns what it affects."""
        writer, began = server.writer, server.writer.instant(self._now_s)
        distortion = distortion_of(active, began, lambda: self._now_s)
        if distortion is None:
            return []
        variables = writer.fitting(distortion)
        if isinstance(active.fault, RemoveNode):
            for variable in variables:
                writer.announce(variable, began, StatusCodes.BadNodeIdUnknown)
            server.remove_nodes(active, variables)
        writer.distortions.append(distortion)
        if isinstance(active.fault, Status):
            writer.show_again(variables, began)
        return [str(variable.node_id.Identifier) for variable in variables]

    def _heal(self, server: PlantServer, active: Active) -> list[str]:
        writer = server.writer
        if isinstance(active.fault, ClockError):
            writer.offset = timedelta(0)
        over = [d for d in writer.distortions if d.active is active and _ends(d)]
        for distortion in over:
            writer.distortions.remove(distortion)
            if isinstance(active.fault, RemoveNode):
                server.restore_nodes(active)
            writer.show_again(writer.fitting(distortion), writer.instant(self._now_s))
        return []

    def _keep_up(self, active: Active) -> None:
        """Update what changes during a fault: a drifting clock, the next status code of a cycle."""
        fault = active.fault
        for server in [server for server in self._faces if server is not None]:
            if isinstance(fault, ClockError):
                wrong_s = fault.offset + fault.drift * (self._now_s - active.began_s)
                server.writer.offset = timedelta(seconds=wrong_s)
            if isinstance(fault, Status):
                self._turn(server, active, int((self._now_s - active.began_s) / fault.period))

    def _turn(self, server: PlantServer, active: Active, turn: int) -> None:
        if self._turns.get(active, 0) == turn:
            return
        self._turns[active] = turn
        for distortion in [d for d in server.writer.distortions if d.active is active]:
            server.writer.show_again(server.writer.fitting(distortion), server.writer.instant(self._now_s))


def _ends(distortion: Distortion) -> bool:
    """Whether the distortion ends with its fault.  Rolled-over counters stay shifted, since counters cannot go back."""
    return distortion.active.fault.kind != "rollover"


def _killing(core: Core, subscription: Subscription, notice: bool) -> Callable[[], Awaitable[object]]:
    async def kill() -> None:
        if notice:
            await subscription.enqueue_statuschange(status(StatusCodes.BadTimeout))
            await subscription.publish_results()
        await core.subscriptions.delete_subscriptions([subscription.data.SubscriptionId])

    return kill
