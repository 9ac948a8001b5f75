"""The series of OPC UA servers: families, and their children for one server."""

from prometheus_client import CollectorRegistry

from gateway.errors import CAUSES
from gateway.metrics.bound import SourceMetrics
from gateway.metrics.series import Counts, Levels, Spreads

FILTER_RULES = ("deadband", "rate_limit", "swinging_door", "aggregate")
"""The rules that filter values: the values of the `rule` label."""

BLEMISHES = ("expired", "uri", "usage", "key_size", "encoding")
"""What `security.accept` lets pass: the values of the `blemish` label."""

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class SourceFamilies:
    """The families whose label is the server."""

    def __init__(self, r: CollectorRegistry) -> None:
        self._declare_books(r)
        self._declare_connection(r)
        self._declare_values(r)
        self._declare_subscription(r)

    def _declare_books(self, r: CollectorRegistry) -> None:
        self.received = Counts(r, "gateway_values_received", "Values the server delivered, now on disk.", "source")
        self.filtered = Counts(
            r, "gateway_values_filtered", "Values filtered by a rule of the configuration.", "source", "rule"
        )
        self._derived = Counts(
            r, "gateway_values_derived", "Values computed by a rule, such as a mean; they count as received.", "source"
        )
        self._waiting = Levels(
            r, "gateway_values_held", "Values that wait in a window or a rule; not yet received nor filtered.", "source"
        )

    def _declare_connection(self, r: CollectorRegistry) -> None:
        self._source_connected = Levels(
            r, "gateway_source_connected", "1 while the OPC UA server is connected, else 0.", "source"
        )
        self._source_connects = Counts(r, "gateway_source_connects", "Times the server was connected.", "source")
        self._source_disconnects = Counts(
            r, "gateway_source_disconnects", "Times the server was lost, by cause.", "source", "cause"
        )
        self._source_connect_failures = Counts(
            r, "gateway_source_connect_failures", "Attempts to connect that failed, by cause.", "source", "cause"
        )
        self._certificates = Levels(
            r,
            "gateway_source_certificate_expires_timestamp_seconds",
            "Unix time at which a certificate ends: ours, or the server's.",
            "source",
            "certificate",
        )
        self._blemishes = Counts(
            r,
            "gateway_source_certificate_blemishes_accepted",
            "Connections although something is wrong with the server's certificate (security.accept), by what.",
            "source",
            "blemish",
        )
        self._last_response = Levels(
            r, "gateway_source_last_response_timestamp_seconds", "Unix time of the server's last answer.", "source"
        )
        self._clock_offset = Levels(
            r,
            "gateway_source_clock_offset_seconds",
            "The server's clock less ours, at its last notification; transport included.",
            "source",
        )

    def _declare_values(self, r: CollectorRegistry) -> None:
        self._values = Counts(
            r, "gateway_source_values", "Values read from the server, by quality.", "source", "quality"
        )
        self._notifications = Counts(r, "gateway_source_notifications", "Publish responses with data.", "source")
        self._overflows = Counts(
            r, "gateway_source_queue_overflows", "Values with the overflow bit: the server's queue was full.", "source"
        )
        self._gaps = Counts(
            r,
            "gateway_source_sequence_gaps",
            "Notifications missing in the server's sequence, and leaps of its numbers.",
            "source",
        )
        self._undecodable = Counts(r, "gateway_source_undecodable", "Values that could not be decoded.", "source")
        self.batch_values = Spreads(
            r, "gateway_source_batch_values", "Values of one publish response.", "source", buckets=BATCH_BUCKETS
        )

    def _declare_subscription(self, r: CollectorRegistry) -> None:
        self._subscriptions = Levels(r, "gateway_source_subscriptions", "Subscriptions held at the server.", "source")
        self._items = Levels(r, "gateway_source_monitored_items", "Variables subscribed, by state.", "source", "state")
        self._revised = Levels(
            r, "gateway_source_revised_items", "Variables whose interval or queue size the server revised.", "source"
        )
        self._refused = Levels(
            r,
            "gateway_source_refused_lookups",
            "Nodes of which the server would not tell the children or an attribute.",
            "source",
        )
        self._empty = Levels(
            r, "gateway_source_empty_selections", "Selected subtrees and types that have no variables.", "source"
        )
        self._publishing_interval = Levels(
            r,
            "gateway_source_publishing_interval_seconds",
            "Revised publishing interval of the fastest subscription.",
            "source",
        )
        self._keep_alive = Levels(
            r, "gateway_source_keep_alive_seconds", "Revised keep-alive time: the server's longest silence.", "source"
        )
        self._polled = Levels(r, "gateway_source_polled", "1 while the server is polled, else 0.", "source")
        self._lost_cycles = Counts(
            r,
            "gateway_source_lost_cycles",
            "Polling cycles skipped because the one before took too long.",
            "source",
        )
        self._browse_seconds = Levels(
            r, "gateway_source_browse_seconds", "Duration of the last browse for the variables.", "source"
        )

    def bound(self, name: str, shown: str) -> SourceMetrics:
        """The series of one server, labelled `shown` in histograms."""
        return SourceMetrics(
            connected=self._source_connected.labels(name),
            connects=self._source_connects.labels(name),
            disconnects={cause: self._source_disconnects.labels(name, cause) for cause in CAUSES},
            connect_failures={cause: self._source_connect_failures.labels(name, cause) for cause in CAUSES},
            subscriptions=self._subscriptions.labels(name),
            received=self.received.labels(name),
            filtered={rule: self.filtered.labels(name, rule) for rule in FILTER_RULES},
            derived=self._derived.labels(name),
            held=self._waiting.labels(name),
            good=self._values.labels(name, "good"),
            uncertain=self._values.labels(name, "uncertain"),
            bad=self._values.labels(name, "bad"),
            notifications=self._notifications.labels(name),
            overflows=self._overflows.labels(name),
            sequence_gaps=self._gaps.labels(name),
            undecodable=self._undecodable.labels(name),
            batch_values=self.batch_values.labels(shown),
            last_response=self._last_response.labels(name),
            clock_offset=self._clock_offset.labels(name),
            browse_seconds=self._browse_seconds.labels(name),
            items_good=self._items.labels(name, "good"),
            items_failed=self._items.labels(name, "failed"),
            items_revised=self._revised.labels(name),
            refused_lookups=self._refused.labels(name),
            empty_selections=self._empty.labels(name),
            publishing_interval=self._publishing_interval.labels(name),
            keep_alive=self._keep_alive.labels(name),
            polled=self._polled.labels(name),
            lost_cycles=self._lost_cycles.labels(name),
            own_certificate_expires=self._certificates.labels(name, "own"),
            blemishes_accepted={each: self._blemishes.labels(name, each) for each in BLEMISHES},
            server_certificate_expires=self._certificates.labels(name, "server"),
        )
