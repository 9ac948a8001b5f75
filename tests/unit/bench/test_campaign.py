"""What is run in which order, and with how much load."""

from tests.bench.chain.campaign import jobs
from tests.bench.chain.cases import CASES, QUICK, by_stage
from tests.bench.chain.contestants import CONTESTANTS
from tests.bench.chain.formats import READERS
from tests.bench.chain.install import NEEDS
from tests.bench.chain.load import Load


def test_contestants_alternate_and_their_order_rotates() -> None:
    contestants, cases = [CONTESTANTS["ours-json"], CONTESTANTS["node"]], [CASES["1000"], CASES["10"]]
    order = [(job.contestant.name, job.round) for job in jobs(contestants, cases, 2)]
    assert order == [("ours-json", 0), ("node", 0), ("node", 1), ("ours-json", 1)]


def test_a_contestant_runs_the_cases_that_its_entry_supports() -> None:
    everything = list(CASES.values())
    script = [case.name for job in jobs([CONTESTANTS["node"]], everything, 1) for case in job.cases]
    ours = [case.name for job in jobs([CONTESTANTS["ours-json"]], everything, 1) for case in job.cases]
    assert not any(name.startswith(("secure", "sources", "backlog")) for name in script)
    assert sorted(ours) == sorted(CASES)


def test_cases_share_a_stage_unless_they_need_another_or_change_it() -> None:
    groups = by_stage([CASES[name] for name in ("1000", "secure-10", "10", "backlog", "backlog-link")])
    assert [[case.name for case in group] for group in groups] == [
        ["1000", "10"], ["secure-10"], ["backlog"], ["backlog-link"],
    ]  # fmt: skip


def test_a_rate_is_shared_by_the_servers_in_whole_responses() -> None:
    assert CASES["sources-100"].load(4.0) == Load(400, 100, 100.0)


def test_a_load_without_a_rate_is_bounded_by_what_the_contestant_manages() -> None:
    assert CASES["10"].load(3.0, 1000.0) == Load(6000, 10, 0.0, 3.0)


def test_every_entry_can_be_read_and_installed() -> None:
    for name, contestant in CONTESTANTS.items():
        assert (contestant.name, contestant.format in READERS) == (name, True)
        assert set(contestant.needs) <= set(NEEDS)
    assert set(QUICK) <= set(CASES)
