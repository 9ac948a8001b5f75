"""What people ask a running gateway from a terminal: why a tag is bad, where it goes, what was lost."""

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.cli.tags import meaning_of
from gateway.model import Gap, Loss, Tag
from gateway.run.kept_losses import MOST_BYTES, KeptLosses, Row, row_of_loss
from tests.support.payloads import TICKS, batch_of
from tests.unit.web.test_live import Asked, asking

BAD, STATUS = 0x808C_0000, "BadSensorFailure (0x808C0000)"
GAP = Gap("server_overflow", "the queue of the server ran over", TICKS, TICKS + 10, 17, (0,))
LOSS = Loss(1, "edge.e1/s/x/s", 3, 5, 3, 30, "outbox_full", 10**18, 10**18, ("a",))


async def told(asked: Asked, *words: str) -> tuple[int, str]:
    """Exit code and output of a command, with the gateway beside it."""
    done = await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--url", asked.address])
    return done.exit_code, done.output


def test_one_look_tells_why_a_tag_is_bad_and_where_it_goes(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        tags = [Tag("Temperature\x1b[2J", "nsu=u;s=T", {"machine": "m"}, unit="°C")]
        asked.made.gateway.standing_of("s").take(batch_of([(11, 61.5)], tags=tags, statuses=[BAD]))
        code, text = await told(asked, "tags", "temper", "--severity", "bad")
        assert code == 0, text
        assert "s  Temperature?[2J  61.5 °C\n" in text
        for said in (
            "BadSensorFailure (0x808C0000); the sensor has failed",
            "topic   x/s  to a, b",
            "node    nsu=u;s=T",
        ):
            assert said in text
        assert (await told(asked, "tags", "nowhere"))[0] == 1
        asked.made.gateway.sources["s"].down("nobody listens there", "refused")
        while "the server is down: nobody listens there: no program listens" not in text:
            text = (await told(asked, "tags", "temper"))[1]  # a state serves half a second

    asking(tmp_path, check)


def test_one_look_tells_what_was_lost(tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        code, text = await told(asked, "losses", "--since", "12h")
        assert (code, "nothing was lost since" in text, "which is all that is known" in text) == (0, True, True)
        gateway = asked.made.gateway
        gateway.standing_of("s").take(batch_of([(11, 1.0)], tags=[Tag("T", "i=1")], gaps=(GAP,)))
        gateway.note_loss(LOSS)
        gateway.metrics.dropped.labels("a", "outbox_full").inc(30)
        code, text = await told(asked, "losses", "--since", "30min")
        assert code == 1
        for said in (
            "server_overflow",
            "17 values",
            "  T\n",
            "the outbox was full",
            "30 values",
            "values that a did not get: 30 outbox_full",
            "2 gaps",
        ):
            assert said in text
        await gateway.losses.write()

    async def check_again(asked: Asked) -> None:
        """After a restart, and after a crash in the middle of a line."""
        kept = asked.made.gateway.losses
        (file,) = kept.files()
        file.write_bytes(file.read_bytes() + b'\n{"at_s": 17')
        kept.read()
        text = (await told(asked, "losses", "--since", "30min"))[1]
        for said in ("server_overflow", "30 values", "values that a did not get: 30 outbox_full", "2 gaps"):
            assert said in text
        kept.note(row_of_loss(time.time(), LOSS))
        await kept.write()
        again = KeptLosses(asked.made.gateway.config.outbox.path)
        again.read()
        assert len(again.gaps()) == 3
        assert again.since_s < kept.gaps()[0].at_s

    asking(tmp_path, check)
    asking(tmp_path, check_again)


def test_the_files_of_losses_stay_small_and_tell_from_when_on(tmp_path: Path) -> None:
    async def check() -> None:
        now_s = 1
        kept = KeptLosses(tmp_path, lambda: now_s)
        for now_s in range(1, 40):
            for _ in range(900):
                kept.note(Row(now_s, "s", "c", "d" * 100))
            await kept.write()
        assert len(kept.files()) == 2
        assert sum(path.stat().st_size for path in kept.files()) < 3 * MOST_BYTES
        again = KeptLosses(tmp_path, lambda: now_s)
        again.read()
        assert 1 < again.since_s < now_s == again.gaps()[-1].at_s

    asyncio.run(check())


def test_a_disk_that_refuses_costs_no_more_than_a_line(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("no folder")
    kept = KeptLosses(tmp_path / "outbox")
    with capture_logs() as logs:
        for _ in range(2):
            kept.note(row_of_loss(time.time(), LOSS))
            asyncio.run(kept.write())
    assert [entry["event"] for entry in logs] == ["what was lost is not kept for after a restart"]
    assert len(kept.gaps()) == 2


@pytest.mark.parametrize(
    ("status", "says"), [("Good (0x00000000)", ""), ("BadUserAccessDenied (0x801F0000)", "our user may not read it")]
)
def test_what_a_status_means_is_told(status: str, says: str) -> None:
    assert meaning_of(status).startswith(says)
