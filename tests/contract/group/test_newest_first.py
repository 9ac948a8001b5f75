"""A backlog that was left behind, and what passed it, across a take-over on a real log."""

from tests.contract.group.test_log import WORKS, append, delivered, in_cluster, seat
from tests.support.nats_cluster import Cluster


@in_cluster
async def test_the_next_owner_drains_the_backlog_and_repeats_nothing_that_passed_it(cluster: Cluster) -> None:
    async with seat(cluster, "newest", "a") as first:
        await first.wait_owning(*WORKS)
        for number in range(1, 7):
            await append(first, number)
        reader = first.member.outbox.reader("main")
        [one] = await reader.read(1, 1)
        assert reader.ack(one.number)
        await first.member.log.measure(0)
        assert reader.leave_behind()
        for number in (7, 8):
            await append(first, number)
        assert await delivered(first, 2) == [7, 8]
        [second, *_] = await reader.read_behind(1, 1)
        assert reader.ack(second.number)
    async with seat(cluster, "newest", "b") as other:
        await other.wait_owning(*WORKS)
        await append(other, 9)
        assert await delivered(other, 5) == [3, 4, 5, 6, 9]
