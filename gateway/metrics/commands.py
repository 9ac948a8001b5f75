"""The series of commands: how many there were, what became of them, how long they took."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge

from gateway.metrics.series import Counts, Spreads, gauge

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 300.0)


class CommandMetrics:
    """The families, and what is bound to their labels: operations, outcomes and reasons are small fixed sets."""

    def __init__(self, r: CollectorRegistry) -> None:
        self._commands = Counts(
            r, "gateway_commands", "Commands that have an outcome, by operation.", "operation", "outcome"
        )
        self._refused = Counts(r, "gateway_command_refusals", "Commands that were refused, by reason.", "reason")
        self.seconds = Spreads(
            r, "gateway_command_seconds", "From the arrival of a command to its outcome.", "operation", buckets=SECONDS
        )
        answers_lost = Counts(
            r, "gateway_command_answers_lost", "Answers that no broker took before their time was over."
        )
        self.answers_lost = answers_lost.labels()
        self.waiting = Gauge("gateway_commands_waiting", "Commands that wait for their turn, or run.", registry=r)
        self._journal = gauge(
            r, "gateway_command_journal_bytes", "What the journal of commands holds, and what it may hold.", "what"
        )
        self.journal_ok = Gauge(
            "gateway_command_journal_writable",
            "1 while the journal of commands can be written and believed, 0 while new commands are refused over it.",
            registry=r,
        )
        self.journal_ok.set(1)

    def bind(self, operations: Iterable[str], outcomes: Iterable[str], reasons: Iterable[str]) -> None:
        """Show every series from the start, so that a rise from nothing is one."""
        known = tuple(outcomes)
        for operation in operations:
            self.seconds.labels(operation)
            for outcome in known:
                self._commands.labels(operation, outcome)
        for reason in reasons:
            self._refused.labels(reason)

    def ended(self, operation: str, outcome: str, reason: str, seconds: float) -> None:
        """One command has its outcome."""
        self._commands.labels(operation, outcome).inc()
        self.seconds.labels(operation).observe(max(0.0, seconds))
        if outcome == "refused":
            self._refused.labels(reason).inc()

    def show_journal(self, held: Callable[[], float], capacity: Callable[[], float]) -> None:
        self._journal.labels("held").set_function(held)
        self._journal.labels("capacity").set_function(capacity)
