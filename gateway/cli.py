"""The `gateway` command."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.live import Live

from gateway import app
from gateway.config import Config, load
from gateway.demo.run import DemoOptions, printed
from gateway.demo.run import demo as run_demo
from gateway.demo.view import LineView, LiveView, NoView, View
from gateway.errors import EXIT_CONFIG, ConfigError
from gateway.link import Backoff, Link, keep_connected
from gateway.logs import set_up_logs
from gateway.mqtt.watch import Numbering
from gateway.mqtt.watch import watch as watch_broker
from gateway.payload.json import json_schema

Result = TypeVar("Result")

REPOSITORY = Path(__file__).resolve().parents[1]

cli = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Carry every value from OPC UA servers to an MQTT broker, and lose none in silence.",
)


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


LogOption = Annotated[LogFormat, typer.Option("--log-format", help="Log lines for people, or as JSON for machines.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration, such as config/gateway.yaml.")]


@cli.command()
def run(file: FileArgument, log_format: LogOption = LogFormat.CONSOLE) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Peers that are away are waited for, for ever.  Exit code 0 after a clean stop, 78 when the configuration cannot
    work.
    """
    set_up_logs(log_format.value)
    with _problems_told():
        config = load(file)
        _until_stopped(lambda stop: app.run(config, stop))


@cli.command()
def validate(file: FileArgument) -> None:
    """Check a configuration without connecting to anything.

    Tells every mistake at once, each with file and line, what is wrong and what is allowed.  Exit code 78 if there is
    any.
    """
    with _problems_told():
        config = load(file)
    names = ", ".join(source.name for source in config.sources)
    urls = ", ".join(broker.url for broker in config.all_brokers)
    typer.echo(f"{file} is fine: reads {names}, delivers to {urls}")


@cli.command()
def demo(
    duration: Annotated[
        float | None, typer.Option(min=1, help="End after so many seconds.  [default: on Ctrl-C]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Show nothing but one JSON object at the end.")] = False,
    state: Annotated[
        Path | None, typer.Option(help="Keep the outbox in this folder.  [default: a temporary one]")
    ] = None,
    outage: Annotated[
        float | None, typer.Option(min=1, help="Stop the broker after 10 s, for so many seconds: nothing gets lost.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, help="How many times faster than real time the factory runs.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random in the factory.")] = None,
    plant: Annotated[Path, typer.Option(help="The simulated plant.")] = REPOSITORY / "config" / "plant.yaml",
    config: Annotated[Path, typer.Option(help="The gateway's configuration.")] = REPOSITORY / "config" / "gateway.yaml",
    log_format: LogOption = LogFormat.CONSOLE,
) -> None:
    """A connected factory on this machine: simulated machines, OPC UA, the gateway, an MQTT broker, metrics.

    Takes the usual ports (4840, 1883, 9464) when they are free and any others when they are not.
    """
    set_up_logs(log_format.value)
    with _problems_told(), _view(as_json) as view:
        options = DemoOptions(load(config), plant, duration, state, speed, seed, outage)
        summary = _until_stopped(lambda stop: run_demo(options, view, stop))
    if as_json:
        typer.echo(printed(summary))
    else:
        typer.echo("\n".join(f"{name.replace('_', ' '):>12}  {value}" for name, value in summary.items()))


@cli.command()
def watch(
    url: Annotated[str, typer.Argument(metavar="URL", help="The broker, such as mqtt://127.0.0.1:1883.")],
    topic: Annotated[str, typer.Argument(help="What to subscribe to.")] = "factory/#",
) -> None:
    """Subscribe to a broker, print what arrives, and check that nothing is missing.

    Every message carries its stream and number, so repeats and holes show.  Exit code 1 when anything was missing.
    """
    numbering = Numbering()
    _until_stopped(lambda stop: _watch(url, topic, numbering, stop))
    typer.echo(
        f"{numbering.messages} messages, {numbering.values} values, {numbering.repeats} repeats, "
        f"{numbering.missing} messages missing"
    )
    if numbering.missing:
        raise typer.Exit(1)


async def _watch(url: str, topic: str, numbering: Numbering, stop: asyncio.Event) -> None:
    async def attempt() -> None:
        async for line in watch_broker(url, topic, numbering):
            link.up()
            typer.echo(line)

    link = Link("broker", url)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(keep_connected(link, attempt, Backoff(0.2, 1.0)), name="watch")
        await stop.wait()
        following.cancel()


@cli.command()
def schema(
    what: Annotated[str, typer.Argument(metavar="config|json", help="The configuration file, or a `json` message.")],
) -> None:
    """Print a JSON Schema: of the configuration (for editors), or of a message."""
    schemas: dict[str, Callable[[], dict[str, object]]] = {"config": Config.model_json_schema, "json": json_schema}
    if what not in schemas:
        typer.echo(f"gateway schema: no schema named {what!r}: there are {', '.join(schemas)}", err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(schemas[what](), indent=2))


@cli.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("connected-factory"))


@contextmanager
def _problems_told() -> Iterator[None]:
    """Print what can never work, one problem a line, and end with exit code 78."""
    problems: list[str] = []
    try:
        yield
    except* ConfigError as group:
        problems = [problem for error in _leaves(group) for problem in error.problems]
    if problems:
        for problem in problems:
            typer.echo(f"gateway: {problem}", err=True)
        raise typer.Exit(EXIT_CONFIG)


def _leaves(group: "BaseExceptionGroup[ConfigError]") -> Iterator[ConfigError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@contextmanager
def _view(as_json: bool) -> Iterator[View]:
    if as_json:
        yield NoView()
    elif sys.stdout.isatty():
        with Live(console=Console(), auto_refresh=False) as live:
            yield LiveView(live)
    else:
        yield LineView(Console(soft_wrap=True))


def _until_stopped(work: Callable[[asyncio.Event], Coroutine[None, None, Result]]) -> Result:
    """Run until it ends or is asked to stop: SIGTERM and SIGINT set the event, a second SIGINT ends at once."""

    async def main() -> Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop_once() -> None:
            stop.set()
            loop.remove_signal_handler(signal.SIGINT)

        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop_once)
        return await work(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> None:
    """Entry point of the `gateway` command."""
    cli()
