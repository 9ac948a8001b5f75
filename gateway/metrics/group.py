"""The series of a member of a group.  A gateway that is alone has none of them."""

from prometheus_client import CollectorRegistry, Gauge

from gateway.metrics import ACK_BUCKETS_S
from gateway.metrics.series import Counts, Spreads, gauge

WHAT_CHANGES = ("taken", "handed_over", "lost")
KINDS = ("source", "broker")


class GroupMetrics:
    """The families."""

    def __init__(self, r: CollectorRegistry) -> None:
        self.members = Gauge("gateway_group_members", "Members of the group that this one sees.", registry=r)
        self.works = gauge(r, "gateway_group_works", "Sources and brokers that this member has.", "kind")
        self.orphans = Gauge(
            "gateway_group_works_without_member", "Sources and brokers that no member shows to have.", registry=r
        )
        self.epoch = Gauge(
            "gateway_group_epoch", "The highest epoch among the claims of this member: its take-overs.", registry=r
        )
        changes = Counts(
            r, "gateway_group_changes", "Works that this member took, handed over in order, and lost.", "what"
        )
        self.changes = {what: changes.labels(what) for what in WHAT_CHANGES}
        self.log_bytes = gauge(
            r, "gateway_group_log_bytes", "What the log of the group holds, and what it may hold.", "what"
        )
        self.behind = Gauge(
            "gateway_group_log_behind_records",
            "Records of the log that came after what the slowest of this member's brokers has acknowledged.",
            registry=r,
        )
        self.replicas = gauge(
            r,
            "gateway_group_log_replicas",
            "NATS servers that keep the log: current (the leader too), or behind.",
            "what",
        )
        self.append_seconds = Spreads(
            r,
            "gateway_group_append_seconds",
            "From an append of this member to the answer that the log has it.",
            buckets=ACK_BUCKETS_S,
        ).labels()
        self._leader = gauge(r, "gateway_group_log_leader", "1 for the NATS server that leads the log.", "server")
        self._led_by = ""
        for kind in KINDS:
            self.works.labels(kind)
        for what in ("held", "capacity"):
            self.log_bytes.labels(what)
        for what in ("current", "behind"):
            self.replicas.labels(what)

    def led_by(self, server: str) -> None:
        """This server leads now; empty: none does."""
        if self._led_by and self._led_by != server:
            self._leader.remove(self._led_by)
        if server:
            self._leader.labels(server).set(1)
        self._led_by = server
