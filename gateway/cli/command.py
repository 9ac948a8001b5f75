"""`gateway command`: send a command by the broker to a gateway, like any other requester."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from gateway.cli.command_answers import lines
from gateway.cli.command_broker import broker_of
from gateway.cli.command_requests import Wish, body_of
from gateway.cli.common import problems_told, until_interrupted
from gateway.cli.verbs import Verb
from gateway.commands.arrival import PREFIX
from gateway.commands.forms import instant_of
from gateway.config import BrokerConfig
from gateway.delivery import Session, Verdict
from gateway.errors import Rejected, Unavailable
from gateway.link import Link
from gateway.logs import set_up_logs
from gateway.model import Message
from gateway.run.sink_kinds import kind_of
from gateway.topics import expand

REPLIES = "gateways/{gateway}/replies/{requester}"
LATE_S = 12.0
"""How long after its deadline an answer is waited for."""
EXIT_UNKNOWN = 3
"""Exit code if it may have happened."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The gateway and source to ask, the requester, and the time until the deadline."""

    gateway: str
    source: str
    requester: str
    within_s: float


def command(
    gateway: str,
    source: str,
    verb: Verb,
    items: list[str] | None,
    broker: str,
    username: str | None,
    requester: str | None,
    dry_run: bool,
    partly: bool,
    levels: int | None,
    limit: int | None,
    after: str | None,
    start: str | None,
    end: str | None,
    aggregate: str | None,
    interval: float | None,
    publishing_interval: float | None,
    sampling_interval: float | None,
    comment: str | None,
    timeout: float,
    request_id: str | None,
    as_json: bool,
    ca: Path | None,
) -> None:
    """Send a command to a machine, or to the gateway itself, by the broker."""
    set_up_logs("console")
    with problems_told():
        wish = Wish(
            partly, levels, limit, after, start, end, aggregate, interval, comment, publishing_interval,
            sampling_interval,
        )  # fmt: skip
        body = body_of(verb, items or [], wish)
        who = requester or username or "operator"
        asked = {"id": request_id or uuid.uuid4().hex, **body, **({"dry_run": True} if dry_run else {})}
        config, asking = broker_of(broker, username, ca), Asking(gateway, source, who, timeout)
        answer = until_interrupted(lambda: _ask(config, asking, asked))
    typer.echo(orjson.dumps(answer).decode() if as_json else "\n".join(lines(answer)))
    if answer.get("outcome") != "done":
        raise typer.Exit(EXIT_UNKNOWN if answer.get("outcome") == "unknown" else 1)


async def _ask(config: BrokerConfig, asking: Asking, asked: Mapping[str, object]) -> dict[str, object]:
    client_id = f"gateway-command-{uuid.uuid4().hex[:12]}"
    async with kind_of(config).open_sink(config, Link("broker", config.url), client_id) as session:
        return await _asked(session, asking, asked)


async def _asked(session: Session, asking: Asking, asked: Mapping[str, object]) -> dict[str, object]:
    """Send the request and wait for its final answer.  Raises `Unavailable` or `Rejected` if there is none."""
    names = {"gateway": asking.gateway, "requester": asking.requester}
    home = f"{expand(REPLIES, names)}/{uuid.uuid4().hex[:12]}"
    topic = f"{expand(PREFIX, names)}/{asking.requester}/{asking.source}"
    now_ns = time.time_ns()
    body = {**asked, "deadline": instant_of(now_ns + int(asking.within_s * 1e9)), "respond_to": home}
    message = Message(
        topic, orjson.dumps(body), stream="", seq=0, values=0, response_topic=home,
        correlation=str(asked["id"]).encode(), expiry_s=max(1, int(asking.within_s)),
    )  # fmt: skip
    try:
        async with asyncio.timeout(asking.within_s + LATE_S), aclosing(session.arrivals(f"{home}/#", home)) as packets:
            first = asyncio.ensure_future(anext(packets))
            await asyncio.sleep(0)  # the subscription goes out before the request
            outcome = await session.send(message)
            if outcome.verdict is not Verdict.DELIVERED:
                first.cancel()
                raise Rejected("refused", f"the broker refuses a request to {topic}: {outcome.detail}")
            packet = await first
            while True:
                answer: dict[str, object] = orjson.loads(packet.payload)
                if answer.get("id") == asked["id"] and answer.get("final", True):
                    return answer
                packet = await anext(packets)
    except TimeoutError as error:
        raise Unavailable(
            f"no answer to {asked['id']}.  Is {asking.gateway} running, does it accept commands, and may this user "
            f"publish to {topic}?  It may have happened: ask again with --id {asked['id']}"
        ) from error
