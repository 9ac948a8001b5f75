"""`gateway command`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.verbs import Verb
from gateway.cli.words import PASSWORD


def _gateways(context: typer.Context, incomplete: str) -> list[str]:
    from gateway.cli.command_completion import gateways

    return gateways(context, incomplete)


def _sources(context: typer.Context, incomplete: str) -> list[str]:
    from gateway.cli.command_completion import sources

    return sources(context, incomplete)


def _items(context: typer.Context, incomplete: str) -> list[str]:
    from gateway.cli.command_completion import items_of

    return items_of(context, incomplete)


def command(
    gateway: Annotated[
        str, typer.Argument(metavar="GATEWAY", autocompletion=_gateways, help="Name of the gateway, such as edge-1.")
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", autocompletion=_sources, help="Name of its source, or _gateway.")
    ],
    verb: Annotated[Verb, typer.Argument(metavar="VERB", help=f"One of {', '.join(Verb)}.")],
    items: Annotated[
        list[str] | None, typer.Argument(metavar="[ITEM]...", autocompletion=_items, help="See above.")
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

    from gateway.cli.command import command as work

    work(
        gateway,
        source,
        verb,
        items,
        broker,
        username,
        requester,
        dry_run,
        partly,
        levels,
        limit,
        after,
        start,
        end,
        aggregate,
        interval,
        publishing_interval,
        sampling_interval,
        comment,
        timeout,
        request_id,
        as_json,
        ca,
    )
