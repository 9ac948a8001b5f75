"""What people are told of the tags of a source: which are bad, what they are now, and which gaps there were."""

from gateway.model import Gap, Tag
from gateway.pipeline.standing import DAY_S, LOOKED_AT_S, MOST_GAPS, Standing
from tests.support.payloads import batch_of

BAD, UNCERTAIN = 0x808C_0000, 0x4090_0000
TAGS = [Tag("a", "i=1"), Tag("b", "i=2"), Tag("c", "i=3")]
ROWS = [(11, 1.0), (11, 2.0), (11, 3.0)]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_tags_are_counted_by_their_last_status_also_behind_another_table() -> None:
    standing = Standing()
    standing.take(batch_of(ROWS, tags=TAGS))
    assert standing.counts == (0, 0)
    standing.take(batch_of(ROWS, tags=TAGS, statuses=[BAD, UNCERTAIN, 0]))
    assert standing.counts == (1, 1)
    other = [TAGS[1], TAGS[0]]
    standing.take(batch_of([(11, 5.0)], tags=other, handles=[0]))
    assert (standing.counts, standing.status_of(1)) == ((0, 1), BAD)
    standing.take(batch_of([(11, 5.0)], tags=other, handles=[1]))
    assert standing.counts == (0, 0)


def test_last_values_are_kept_while_somebody_looks_and_a_minute_longer() -> None:
    clock = Clock()
    standing = Standing(clock)
    standing.take(batch_of(ROWS[:2], tags=TAGS, handles=[0, 1]))
    seen = standing.look()
    assert {handle: last.value for handle, last in seen.values.items()} == {0: 1.0, 1: 2.0}
    standing.take(batch_of([(11, 9.0)], tags=TAGS, handles=[2]))
    standing.pass_on(batch_of([(11, 9.0)], tags=TAGS, handles=[2]))
    assert (seen.values[2].value, seen.arrived[2], seen.passed[2]) == (9.0, 1, 1)
    clock.now_s += LOOKED_AT_S + 1
    standing.take(batch_of(ROWS, tags=TAGS))
    assert standing.seen is None


def test_gaps_of_a_day_are_remembered_and_not_more_than_a_bound() -> None:
    clock = Clock()
    standing = Standing(clock)
    standing.take(batch_of([], tags=TAGS, gaps=(Gap("not_read", "away", handles=(1,)),)))
    assert [(gap.cause, names) for _, gap, names in standing.gaps_within()] == [("not_read", ("b",))]
    clock.now_s += DAY_S + 1
    assert standing.gaps_within() == []
    for _ in range(MOST_GAPS + 5):
        standing.take(batch_of([], tags=TAGS, gaps=(Gap("sequence_gap", "one is missing"),)))
    assert len(standing.gaps_within()) == MOST_GAPS
