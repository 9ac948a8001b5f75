"""What `gateway doctor` looks at.  Each look gives findings; a look that fails is a finding itself."""

import asyncio
import math
import platform
import shutil
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from gateway.advice import advice_for
from gateway.config import BrokerConfig, Config, SourceConfig
from gateway.config.broker import BROKER_SCHEMES
from gateway.errors import ConfigError, Rejected, Unavailable
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.loading import Loaded, load_with_lines
from gateway.metrics import Metrics
from gateway.opcua.explore import connected
from gateway.opcua.meeting import clock_of, meet
from gateway.opcua.session.certificates import expires_at, identity_or_none
from gateway.outbox.inspect import show
from gateway.run.readiness import problems_here, problems_with_folders, warnings_about, with_lines
from gateway.run.sink_kinds import kind_of
from gateway.tcp import connect_tcp
from gateway.urls import parse_url

State = Literal["ok", "look", "wrong"]
DAY_S = 86_400.0
SOON_S, CLOCK_S, PATIENCE_S = 30 * DAY_S, 2.0, 10.0
_NTP = "set the clock (timedatectl set-ntp true), on both machines"
_RENEW = "gateway cert renew makes a new one, which servers must then trust"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what helps."""

    state: State
    what: str
    said: str
    cure: str = ""


Look = Callable[[], Coroutine[None, None, list[Finding]]]


async def findings(file: Path) -> list[Finding]:
    """All findings, in the order of the looks.  Raises `ConfigError` for a file with mistakes."""
    loaded = load_with_lines(file)
    config = loaded.config
    looks: list[Look] = [
        lambda: in_thread(lambda: [_versions()], "versions"),
        lambda: in_thread(lambda: _files(loaded), "files"),
        lambda: in_thread(lambda: _outbox(config), "outbox"),
        lambda: _http(config),
        *(_look_at(source.name, partial(_source, source)) for source in config.sources),
        *(_look_at(broker.name, partial(_broker, broker, config.name)) for broker in config.all_brokers),
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(look(), name=f"look-{number}") for number, look in enumerate(looks)]
    return [each for task in running for each in task.result()]


def _look_at(name: str, look: Look) -> Look:
    async def looked() -> list[Finding]:
        try:
            async with asyncio.timeout(6 * PATIENCE_S):
                return await look()
        except (Unavailable, Rejected, ConfigError) as error:
            cause = error.cause if isinstance(error, Unavailable) else ""
            return [Finding("wrong", name, str(error), advice_for(str(error), cause))]
        except TimeoutError:
            return [Finding("wrong", name, "no answer", "is the address right, is there a firewall?")]

    return looked


def _versions() -> Finding:
    parts = [f"connected-factory {version('connected-factory')}", f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("asyncua", "aiomqtt", "paho-mqtt")]
    return Finding("ok", "versions", ", ".join([*parts, ssl.OPENSSL_VERSION]))


def _files(loaded: Loaded) -> list[Finding]:
    config = loaded.config
    found = [
        Finding("wrong", "files", text, "others must not read it: chmod 600" if "others" in text else "")
        for text in with_lines(loaded, [*problems_here(config), *problems_with_folders(config)])
    ]
    found += [Finding("look", "configuration", text) for text in with_lines(loaded, warnings_about(config))]
    return found or [Finding("ok", "files", "secrets, keys, authorities and folders can be used")]


def _outbox(config: Config) -> list[Finding]:
    folder = config.outbox.path
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    disk = shutil.disk_usage(there)
    free = disk.free - config.outbox.min_free
    found = [_disk(config, free)]
    if not folder.exists():
        return [*found, Finding("ok", "outbox", f"{folder} is made at the first start")]
    try:
        view = show(folder)
    except ConfigError as error:
        return [*found, Finding("wrong", "outbox", "; ".join(error.problems), "see the runbook: OutboxDamaged")]
    damaged = sum(each.damaged_bytes for each in view.segments)
    if damaged or view.quarantined:
        said = f"{damaged} damaged bytes, {len(view.quarantined)} files in quarantine"
        cure = "look for faults of the disk (dmesg, smartctl); what was lost is announced in the streams"
        found.append(Finding("wrong", "outbox", said, cure))
    size, waiting = sum(each.bytes for each in view.segments), [f"{r.values} for {r.name}" for r in view.readers]
    is_full = size > 0.8 * config.outbox.max_bytes
    said = (
        f"{size / 2**20:.1f} MiB of {config.outbox.max_bytes / 2**20:.0f}; values wait: {', '.join(waiting) or 'none'}"
    )
    cure = "bring the broker back, or raise outbox.max_bytes" if is_full else ""
    return [*found, Finding("look" if is_full else "ok", "outbox", said, cure)]


def _disk(config: Config, free: int) -> Finding:
    said = f"{free / 2**20:.0f} MiB free for an outbox of up to {config.outbox.max_bytes / 2**20:.0f}"
    if free <= 0:
        return Finding("wrong", "disk", said, "make room: below outbox.min_free the outbox counts as full")
    if free < config.outbox.max_bytes:
        return Finding("look", "disk", said, "make room, or lower outbox.max_bytes to what there is")
    return Finding("ok", "disk", said)


async def _http(config: Config) -> list[Finding]:
    host, port, what = config.http.host, config.http.port, f"port {config.http.port}"
    if port == 0:
        return [Finding("ok", "port", "any free one is taken for /metrics")]
    own = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(own, port)
    except ConnectionRefusedError:
        return [Finding("ok", what, "is free, and no gateway is running there")]
    except (OSError, TimeoutError) as error:
        return [Finding("look", what, f"{own} cannot be asked: {error}", "is http.host an address of this machine?")]
    writer.write(f"GET /health/live HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read(200)
    except (OSError, TimeoutError):
        answer = b""
    finally:
        writer.close()
    if answer.startswith(b"HTTP/1.1 200"):
        return [Finding("ok", what, "a gateway answers there")]
    cure = "stop it, or set http.port; ss -ltnp shows whose it is"
    return [Finding("wrong", what, "another program has it", cure)]


async def _reached(name: str, host: str, port: int) -> list[Finding]:
    """Name and port.  Raises `Unavailable`."""
    loop, began_s = asyncio.get_running_loop(), time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the name {host} cannot be looked up: {error}", "name") from error
    took_s = time.monotonic() - began_s
    slow = "ask the network's people: every reconnect waits for it" if took_s > 1 else ""
    address = str(found[0][4][0])
    name_found = Finding("look" if slow else "ok", name, f"{host} is {address}, after {took_s * 1000:.0f} ms", slow)
    try:
        async with asyncio.timeout(PATIENCE_S):
            sock = await connect_tcp(host, port)
    except TimeoutError as error:
        raise Unavailable(f"{host}:{port} gives no answer", "timeout") from error
    except ConnectionRefusedError as error:
        raise Unavailable(f"{host}:{port} refuses the connection", "refused") from error
    except OSError as error:
        raise Unavailable(f"{host}:{port} cannot be reached: {error}", "unreachable") from error
    sock.close()
    return [name_found, Finding("ok", name, f"port {port} is open")]


async def _source(source: SourceConfig) -> list[Finding]:
    url = parse_url(source.url, ["opc.tcp"])
    found = await _reached(source.name, url.host, url.port or 4840)
    server = await meet(source)
    if server.certificate is not None and source.security is not None:
        found.append(_end(source.name, "the server's certificate", server.ends_s, "its administrator must renew it"))
        ours = identity_or_none(source.security.pki)
        if ours is not None:
            found.append(_end(source.name, "our certificate", expires_at(ours.certificate), _RENEW))
    async with connected(source, Metrics().for_source(source.name)) as session:
        found.append(Finding("ok", source.name, "logged in"))
        found += _clock(source.name, await clock_of(session))
    return found


def _clock(name: str, their_s: float | None) -> Iterator[Finding]:
    if their_s is None:
        yield Finding("look", name, "does not tell its time")
        return
    off_s = their_s - time.time()
    said = f"its clock is {abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} ours"
    yield Finding("look" if abs(off_s) > CLOCK_S else "ok", name, said, _NTP if abs(off_s) > CLOCK_S else "")


async def _broker(broker: BrokerConfig, gateway: str) -> list[Finding]:
    url = parse_url(broker.url, BROKER_SCHEMES)
    found = await _reached(broker.name, url.host, url.port)
    if not math.isnan(ends_s := kind_of(broker).certificate_expires_s(broker)):
        found.append(_end(broker.name, "our certificate", ends_s, "renew it: tls.certificate is read at every connect"))
    if broker.profile is not None:
        said = "the login is not tried, since this cloud knows the gateway by its client id alone"
        return [*found, Finding("ok", broker.name, said)]
    test_id = f"{gateway}-doctor-{uuid.uuid4().hex[:6]}"
    alone = broker.model_copy(update={"client_id": test_id})
    async with kind_of(broker).open_sink(alone, Link(broker.name, broker.url), test_id) as session:
        found.append(Finding("ok", broker.name, "logged in"))
        if not math.isnan(session.certificate_ends_s):
            cure = "its administrator must renew it"
            found.append(_end(broker.name, "the broker's certificate", session.certificate_ends_s, cure))
    return found


def _end(name: str, what: str, ends_s: float, cure: str) -> Finding:
    left_s = ends_s - time.time()
    day = time.strftime("%Y-%m-%d", time.gmtime(ends_s))
    state: State = "wrong" if left_s < 0 else "look" if left_s < SOON_S else "ok"
    said = f"{what} ended on {day}" if left_s < 0 else f"{what} ends on {day}, in {left_s / DAY_S:.0f} days"
    return Finding(state, name, said, "" if state == "ok" else cure)
