"""Whether the NATS servers are such that an acknowledged record is safe."""

import asyncio
import json
import urllib.error
import urllib.request
from functools import partial
from urllib.parse import urlsplit

import structlog

from gateway.config import GroupConfig
from gateway.errors import ConfigError, Unavailable
from gateway.group.nats_edge import Nats
from gateway.in_thread import in_thread

OLDEST = (2, 11)
LOOK_S = 2.0


async def check_version(nats: Nats, config: GroupConfig) -> None:
    """Raises `ConfigError` for servers that are too old, or acknowledge what is not on their disks; `Unavailable` when
    none says."""
    if problem := problem_with_version(nats.version):
        raise ConfigError([f"group.servers: {problem}"])
    if config.monitoring == 0:
        log = structlog.get_logger("gateway.group")
        log.warning("nobody asks whether NATS syncs before it acknowledges", key="group.monitoring")
        return
    urls = [monitoring_url(server, config.monitoring) for server in config.servers]
    answers = await asyncio.gather(*(in_thread(partial(look, url), "ask a NATS server") for url in urls))
    problems = [
        f"group.servers: {text}"
        for url, answer in zip(urls, answers, strict=True)
        if answer is not None and (text := problem_with(url, answer))
    ]
    if problems:
        raise ConfigError(problems)
    if all(answer is None for answer in answers):
        where = ", ".join(urls)
        raise Unavailable(f"no NATS server says whether it syncs: asked {where} (group.monitoring is their port)")


def problem_with_version(version: str) -> str:
    """Why a server of this version cannot be used.  Empty: it can."""
    parts = version.split("-")[0].split(".")
    numbers = tuple(int(part) for part in parts[:2] if part.isdigit())
    if len(numbers) == 2 and numbers >= OLDEST:
        return ""
    return f"NATS {version} is too old: 2.11 or newer is needed"


def problem_with(url: str, answer: dict[str, object]) -> str:
    """Why a server with these variables (`/varz`) cannot be used.  Empty: it can."""
    if problem := problem_with_version(str(answer.get("version", ""))):
        return f"{url}: {problem}"
    stream = answer.get("jetstream")
    config = stream.get("config") if isinstance(stream, dict) else None
    if not isinstance(config, dict):
        return f"{url}: JetStream is not enabled"
    if not config.get("sync_always"):
        return (
            f"{url}: it acknowledges what is not on its disk yet, and a power cut would cost it: "
            "set `sync_interval: always` in its section jetstream"
        )
    return ""


def monitoring_url(server: str, port: int) -> str:
    host = urlsplit(server).hostname or ""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/varz"


def look(url: str) -> dict[str, object] | None:
    """What a server says of itself.  None: it does not answer.  Blocks."""
    try:
        with urllib.request.urlopen(url, timeout=LOOK_S) as answer:
            found = json.loads(answer.read(2**20))
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
