"""The composition root of `simulators test-server`: an OPC UA server with nodes for tests, and no factory."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from simulators.process_signals import handled
from simulators.published import gateway_config, published_nodes
from simulators.server.endpoint import MODEL_URI, Access, OpcUaServer, bind, prepared
from simulators.server.machines import NodeNamespace
from simulators.server.nodesets import add_nodeset, check_nodeset
from simulators.server.operations import writable
from simulators.server.space import Space, variables_below
from simulators.server.trial_space import TrialSpace
from simulators.trial import TrialNodes, load_folder

TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """The options of `simulators test-server`."""

    spec: TrialNodes = field(default_factory=TrialNodes)
    endpoint: str = "opc.tcp://127.0.0.1:50000"
    access: Access = field(default_factory=Access)
    seed: int = 1
    published_nodes: Path | None = None
    gateway_config: Path | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """The running server."""

    server: OpcUaServer
    space: TrialSpace
    node_ids: tuple[str, ...]
    """Every variable below TestNodes, with its namespace URI."""


@asynccontextmanager
async def trial_served(settings: TrialSettings) -> AsyncIterator[Trial]:
    """A test server that listens.  All its files are checked before the port is bound.

    Raises `ConfigError` and `CannotListen`.
    """
    folders = [load_folder(path) for path in settings.spec.nodes]
    for path in settings.spec.nodesets:
        check_nodeset(path)
    async with prepared(settings.spec.name, settings.access, bind(settings.endpoint)) as server:
        space = Space(server.iserver.aspace)
        ns = NodeNamespace(space, await server.register_namespace(MODEL_URI))
        nodes = TrialSpace(ns, settings.spec, settings.seed)
        for folder in folders:
            nodes.add_json(folder)
        for path in settings.spec.nodesets:
            await add_nodeset(server, path)
        server.iserver.judge = writable(space, settings.access.may_operate)
        uris = await server.get_namespace_array()
        found = variables_below(space, nodes.root)
        ids = tuple(f"nsu={uris[each.NamespaceIndex]};{each.to_string().partition(';')[2]}" for each in found)
        await server.start()
        _write_files(settings, server.url, ids)
        yield Trial(server, nodes, ids)


def _write_files(settings: TrialSettings, url: str, node_ids: tuple[str, ...]) -> None:
    secure = "None" not in settings.access.policies
    if settings.published_nodes is not None:
        settings.published_nodes.write_bytes(published_nodes(url, node_ids, secure=secure))
    if settings.gateway_config is not None:
        root = f"nsu={MODEL_URI};s=TestNodes"
        settings.gateway_config.write_bytes(gateway_config(url, root, secure=secure))


async def serve_trial(settings: TrialSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop, log = asyncio.Event(), structlog.get_logger("simulators")
    with handled(asyncio.get_running_loop(), {signal.SIGTERM: stop.set, signal.SIGINT: stop.set}):
        async with trial_served(settings) as trial:
            log.info("serving", endpoint=trial.server.url, variables=len(trial.node_ids))
            began_s = time.monotonic()
            while not stop.is_set():
                trial.space.step(time.monotonic() - began_s)
                try:
                    async with asyncio.timeout(TICK_S):
                        await stop.wait()
                except TimeoutError:
                    continue
