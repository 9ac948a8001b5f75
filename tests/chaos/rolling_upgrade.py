"""Upgrades a group from an earlier version, one member after another, takes one back, and checks what arrives.

    python -m tests.chaos.rolling_upgrade [COMMIT] [--seed N]

COMMIT is the earlier version (default: the one before the newest change of what members write for each other), taken
from this repository into a folder that goes away again.  Three members of it begin, on three NATS nodes, with load
servers, commands and a checking subscriber for each server.  Each is stopped and started again as the present version;
one of them is also killed while both versions are there, and one is taken back to the earlier version and forth again.
Every value must arrive once and in order, or be covered by an announced gap, and every command be done once.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from tests.chaos.commands import Judge
from tests.chaos.group import ELECTION_S, Verdict, judge, log_reader
from tests.chaos.group_commands import COMMANDS, asking, source_of
from tests.support.group_plant import GroupPlant, MemberProgram, group_plant
from tests.support.programs import ROOT, running, wait_until

WRITTEN = (
    "gateway/group/entry.py", "gateway/group/claim.py", "gateway/group/post.py", "gateway/commands/entries.py",
    "gateway/commands/group_desk.py",
)  # fmt: skip
"""What members write for each other."""
SETTLED_S = 12.0
"""Longer than a member that came waits for its part."""


class AnyVersion(MemberProgram):
    """A member whose code can be exchanged."""

    RUN = ("gateway", "run")
    begins: ClassVar[Path] = ROOT
    """Where the code is that new ones begin with."""

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.code: Path = getattr(self, "code", self.begins)
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", *self.arguments]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.code)

    def exchange(self, code: Path, *, killed: bool = False) -> None:
        """Stop it, and start it with the code that is in a folder."""
        begun = self.said("started")
        if killed:
            self.kill()
        else:
            assert self.stop() == 0
        self.code = code
        self.restart()
        self.wait_said("started", times=begun + 1)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def version_before() -> str:
    """The commit before the newest change of what members write for each other."""
    return git("rev-parse", git("log", "-1", "--format=%H", "--", *WRITTEN) + "~1")


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "earlier"
        git("worktree", "add", "--detach", str(code), commit)
        try:
            yield code
        finally:
            git("worktree", "remove", "--force", str(code))


def upgraded(folder: Path, earlier: Path, seed: int, say: Callable[[str], None]) -> Verdict:
    """All of it.  What it took is in the verdict by step."""
    rng, verdict = random.Random(seed), Verdict(seed)
    begins = type("Begins", (AnyVersion,), {"begins": earlier})
    with ExitStack() as stack:
        server = stack.enter_context(running(Judge(folder)))
        plant = group_plant(
            folder, proxied=False, more_sources=[source_of(server)], commands=COMMANDS, member=begins,
        )  # fmt: skip
        p = stack.enter_context(plant)
        reader = stack.enter_context(log_reader(p.cluster.servers))
        asker = stack.enter_context(asking(p.broker.url))
        for name, member, code, killed in steps(p, earlier, rng):
            say(name)
            member.exchange(code, killed=killed)
            p.wait_caught_up(p.presence_s + 2 * ELECTION_S + 60)
            with suppress(AssertionError):  # by its place it may have nothing
                wait_until(lambda: bool(member.holds), "it to have something", SETTLED_S)  # noqa: B023
            say(f"  it has {', '.join(member.holds) or 'nothing'}")
            verdict.faults[name] += 1
        asker.stop.set()
        p.finish(120)
        with suppress(AssertionError):
            wait_until(lambda: not asker.missing, "every command to be answered", 60)
        judge(verdict, p, reader)
        for each in p.members:
            verdict.wrong += [f"{each.member} has nothing in the end"] if not each.holds else []
            verdict.wrong += [f"{each.member}: {line}" for line in troubles(each)]
        verdict.commands.update(next(iter(sorted(outcomes))) for outcomes in asker.answers.values())
        verdict.wrong += asker.wrong(server.given)
    return verdict


def steps(p: GroupPlant, earlier: Path, rng: random.Random) -> "Iterator[tuple[str, AnyVersion, Path, bool]]":
    members = [member for member in p.members if isinstance(member, AnyVersion)]
    first, second, third = rng.sample(members, 3)
    yield "the first one is upgraded", first, ROOT, False
    yield "one of the earlier version is killed, and comes back as it was", third, earlier, True
    yield "the second one is upgraded", second, ROOT, False
    yield "it is killed, and comes back as it was", second, ROOT, True
    yield "the first one is taken back", first, earlier, False
    yield "it is upgraded again", first, ROOT, False
    yield "the last one is upgraded", third, ROOT, False


def troubles(member: MemberProgram) -> Iterator[str]:
    """What its log says of faults of its own."""
    for event in member.events:
        if event.get("level") in ("error", "critical") or "exception" in event:
            yield f"{event.get('event')}: {str(event.get('exception') or event.get('reason'))[-300:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("commit", nargs="?", help="the earlier version")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    commit = asked.commit or version_before()
    print(f"from {git('log', '-1', '--format=%h %s', commit)}", flush=True)
    with code_of(commit) as earlier, tempfile.TemporaryDirectory() as folder:
        verdict = upgraded(Path(folder), earlier, asked.seed, lambda line: print(line, flush=True))
    print(verdict.text)
    sys.exit(bool(verdict.wrong))


if __name__ == "__main__":
    main()
