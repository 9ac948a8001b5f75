"""`gateway command`: send a command by the broker to a gateway, like any other requester."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer

from gateway.cli.command_answers import lines
from gateway.cli.command_broker import PASSWORD, broker_of
from gateway.cli.command_completion import gateways, items_of, sources
from gateway.cli.command_requests import Verb, Wish, body_of
from gateway.cli.common import problems_told, until_interrupted
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
    gateway: Annotated[
        str, typer.Argument(metavar="GATEWAY", autocompletion=gateways, help="Name of the gateway, such as edge-1.")
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", autocompletion=sources, help="Name of its source, or _gateway.")
    ],
    verb: Annotated[Verb, typer.Argument(metavar="VERB", help=f"One of {', '.join(Verb)}.")],
    items: Annotated[
        list[str] | None, typer.Argument(metavar="[ITEM]...", autocompletion=items_of, help="See above.")
    ] = None,
    broker: Annotated[
        str, typer.Option(envvar="GATEWAY_BROKER", help="The gateway's broker.")
    ] = "mqtt://127.0.0.1:1883",
    username: Annotated[
        str | None, typer.Option(help=f"Login; the password is read from the environment variable {PASSWORD}.")
    ] = None,
    requester: Annotated[
        str | None, typer.Option(help="Requester in the gateway's rules.  [default: --username, or operator]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make all checks and send nothing to the server.")] = False,
    partly: Annotated[bool, typer.Option("--partly", help="If some writes are refused, send the others.")] = False,
    levels: Annotated[int | None, typer.Option(min=1, help="browse: depth.  [default: 1]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="browse, history: items in one answer.")] = None,
    after: Annotated[str | None, typer.Option(help="browse, history: `next` of the page before.")] = None,
    start: Annotated[str | None, typer.Option(help="history: from here.  [default: an hour ago]")] = None,
    end: Annotated[str | None, typer.Option(help="history: to here.  [default: now]")] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="history: Average, Minimum, Maximum, Count … of each interval.")
    ] = None,
    interval: Annotated[float | None, typer.Option(help="history: seconds of each aggregate.")] = None,
    publishing_interval: Annotated[float | None, typer.Option(help="subscribe: seconds.")] = None,
    sampling_interval: Annotated[float | None, typer.Option(help="subscribe: seconds.")] = None,
    comment: Annotated[str | None, typer.Option(help="acknowledge, confirm: why.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until the deadline.")] = 10.0,
    request_id: Annotated[
        str | None, typer.Option("--id", help="Id of an earlier request: get its answer without executing it again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as received.")] = False,
    ca: Annotated[Path | None, typer.Option(help="PEM file with the authorities to trust, for mqtts://.")] = None,
) -> None:
    """Send a command to a machine, or to the gateway itself, by the broker.

    - `read TAG...`, `write TAG VALUE ...`, `call METHOD [NAME=VALUE]...`
    - `browse NODE`: list the nodes below it, in pages
    - `refresh TAG...`: read now, and send the values to the brokers
    - `history TAG`: what the server keeps of the past, in pages, raw or as aggregates
    - `subscribe TAG...`, `unsubscribe TAG...`: add variables to the values sent; kept over restart and reload
    - `acknowledge CONDITION EVENT`, `confirm CONDITION EVENT`: an alarm, by the EventId in its message (short: `ack`)
    - `diagnostics`, `reload`: for the gateway itself; SOURCE is `_gateway`

    A VALUE that is valid JSON (1.5, true, [1, 2]) is sent as such, anything else as text.  Put `--` before negative
    numbers.  The gateway's rules say what is allowed; `gateway --install-completion` lets your shell offer what they
    name, as the gateway tells it at the broker of GATEWAY_BROKER.

    Exit codes: 0 done; 1 refused, failed or expired; 3 unknown, it may have happened; 69 no answer: ask again with the
    same `--id`.
    """
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
