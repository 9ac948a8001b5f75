"""The dashboards of gateways: one of them, what it delivers, and all of them."""

from docker.grafana.panel import (
    AGE,
    CONNECTED,
    ENDS,
    GATE,
    RATE,
    READY,
    SITE,
    UP,
    VALUES,
    ZERO_IS_GOOD,
    Board,
    Column,
    Panel,
    each,
    histogram,
    linked,
    marks,
    over_range,
)

ONE = (("site", "gateway_ready"), ("instance", "gateway_ready"))
TO_GATEWAY = (("The gateway ${__field.labels.instance}", linked("gateway", instance="${__field.labels.instance}")),)
TO_DELIVERY = (("What ${__field.labels.instance} delivers", linked("delivery", instance="${__field.labels.instance}")),)
OF = Column("instance", "Gateway", link=linked("gateway", instance="${__value.text}"))
LATE = ((None, "green"), (0.05, "orange"), (0.25, "red"))


def ready(where: str) -> str:
    """1 and 0 as the gateway says, and -1 while it does not answer at all."""
    return f'gateway_ready{{{where}}} or (up{{job="gateway",{where}}} == 0) - 1'


def lost(where: str, by: str) -> str:
    """Values dropped over the time shown, whatever restarts lie in it: a counter that begins anew goes on adding."""
    return f"sum by ({by}) (increase(gateway_values_dropped_total{{{where}}}[$__range]))"


GATEWAY = Board(
    "gateway", "Gateway: flow, delay, errors", ONE,
    (
        (
            Panel("stat", "Is all connected?", "Ready means that every server and every broker is connected; no "
                  "answer, that Prometheus gets none.", (each("instance", ready(GATE), "min"),), "short",
                  6, 5, UP, 1, READY,
                  alerts=("SourceDisconnected", "SinkDisconnected", "GatewayDown"), links=TO_DELIVERY),
            Panel("stat", "Do the books balance?", "Values that are unaccounted for: anything but 0 is a bug.",
                  (each("instance, sink", f"abs(gateway_books_imbalance_values{{{GATE}}})"),), "count:values missing",
                  6, 5, ZERO_IS_GOOD, states=((0, "balanced: 0 missing", "green"),), alerts=("ConservationViolated",)),
            Panel("stat", "Was anything lost?", "Values dropped over the time shown, also across restarts, by broker.",
                  ((lost(GATE, "instance, sink"), "{{instance}} {{sink}}"),), "count:values lost", 6, 5, ZERO_IS_GOOD,
                  states=((0, "nothing lost", "green"),), decimals=0, alerts=("DataLoss",), links=TO_DELIVERY),
            Panel("stat", "How much waits on disk?", "Values received and not yet acknowledged by the broker.",
                  (each("instance, sink", f"gateway_outbox_values{{{GATE}}}"),), VALUES, 6, 5,
                  alerts=("BacklogGrowing",), links=TO_DELIVERY),
        ),
        (
            Panel("lines", "How much comes in?", "Values per second of each server, durable on disk.",
                  (each("instance, source", f"rate(gateway_values_received_total{{{GATE}}}[$__rate_interval])"),),
                  RATE),
            Panel("lines", "How good are the values?", "Values per second by quality.",
                  (each("quality", f"rate(gateway_source_values_total{{{GATE}}}[$__rate_interval])"),), RATE,
                  alerts=("BadQualityRatio",),
                  colors=(("good", "green"), ("uncertain", "yellow"), ("bad", "red"))),
            Panel("states", "Which servers are connected?", "Red while an OPC UA server is away.",
                  (each("instance, source", f"gateway_source_connected{{{GATE}}}", "min"),), "short", states=CONNECTED,
                  alerts=("SourceDisconnected", "SourceFlapping")),
        ),
        (
            Panel("heat", "How old is a value on arrival?", "From source timestamp to PUBACK; it includes the server's "
                  "sampling and publishing. The stronger the colour of a cell, the more values were that old; a "
                  "cell is as high as the histogram is exact.", histogram("gateway_delay_seconds", GATE), "s",
                  alerts=("DelayHigh",)),
            Panel("table", "Whose values are old?", "Over the time shown, from source timestamp to PUBACK: the age "
                  "that half of the messages, and 95 of 100, did not exceed; as exact as the bounds of the histogram.",
                  over_range("gateway_delay_seconds", "instance, source, sink", GATE), "s", sort=("Server", False),
                  columns=(Column("source", "Server"), Column("sink", "Broker"), OF,
                           Column("Value #B", "Half below", "s"), Column("Value #C", "95 % below", "s")),
                  alerts=("DelayHigh",)),
            Panel("lines", "How late is the gateway itself?", "Mean lateness of the event loop, which is looked at "
                  "four times a second.",
                  (each("instance", f"rate(gateway_event_loop_lag_seconds_sum{{{GATE}}}[$__rate_interval]) / "
                        f"rate(gateway_event_loop_lag_seconds_count{{{GATE}}}[$__rate_interval])"),),
                  "s", steps=LATE, alerts=("EventLoopLate",)),
        ),
        (
            Panel("lines", "How far are the clocks apart?", "The server's clock less the gateway's.",
                  (each("instance, source", f"gateway_source_clock_offset_seconds{{{GATE}}}"),), "s", least=None,
                  filled=False, alerts=("ClockSkew",)),
            Panel("bars", "Why were connections lost?", "Servers and brokers lost over the time shown, by cause, the "
                  "most frequent first.",
                  ((f"sort_desc(sum by (cause) (increase(gateway_source_disconnects_total{{{GATE}}}[$__range])) + "
                    f"sum by (cause) (increase(gateway_sink_disconnects_total{{{GATE}}}[$__range])) > 0)",
                    "{{cause}}"),), "count:times", steps=ZERO_IS_GOOD, decimals=0,
                  alerts=("SourceFlapping", "SinkFlapping"), nothing="none was lost"),
            Panel("bars", "Which certificate ends first?", "Time until our certificates end, and those that servers "
                  "and brokers showed when they were last connected, the first to end at the top.",
                  (("sort(min by (instance, source, sink, certificate) (("
                    f"gateway_source_certificate_expires_timestamp_seconds{{{GATE}}} or "
                    f"gateway_sink_certificate_expires_timestamp_seconds{{{GATE}}}) > 0) - time())",
                    "{{instance}} {{source}}{{sink}} {{certificate}}"),), "s", steps=ENDS,
                  alerts=("CertificateExpires30d", "CertificateExpires7d")),
        ),
        (
            Panel("table", "Are all variables subscribed?", "Variables of each server; failed ones are retried.",
                  ((f'sum by (instance, source) (gateway_source_monitored_items{{state="good",{GATE}}})', ""),
                   (f'sum by (instance, source) (gateway_source_monitored_items{{state="failed",{GATE}}})', ""),
                   (f"sum by (instance, source) (gateway_source_refused_lookups{{{GATE}}})", ""),
                   (f"sum by (instance, source) (gateway_source_empty_selections{{{GATE}}})", "")),
                  "short", 16, sort=("Server", False),
                  columns=(Column("source", "Server"), OF, Column("Value #A", "Subscribed"),
                           Column("Value #B", "Failed", steps=ZERO_IS_GOOD),
                           Column("Value #C", "Look-ups refused", steps=ZERO_IS_GOOD),
                           Column("Value #D", "Rules without match", steps=ZERO_IS_GOOD)),
                  alerts=("VariablesFailed", "AddressSpaceRefused")),
            Panel("lines", "How much processor does it take?", "Share of one core that the process used.",
                  (each("instance",
                        f'rate(process_cpu_seconds_total{{job="gateway",{GATE}}}[$__rate_interval])'),), "percentunit"),
        ),
        (
            Panel("lines", "What became of commands?", "Commands per second that got their outcome.",
                  (each("outcome", f"rate(gateway_commands_total{{{GATE}}}[$__rate_interval])"),),
                  "count:commands/s", height=6, alerts=("CommandOutcomeUnknown",), nothing="no commands",
                  colors=(("done", "green"), ("refused", "yellow"), ("failed", "orange"), ("unknown", "red"))),
            Panel("bars", "Why were commands refused?", "Refused over the time shown, by reason, the most frequent "
                  "first.",
                  ((f"sort_desc(sum by (reason) (increase(gateway_command_refusals_total{{{GATE}}}[$__range])) > 0)",
                    "{{reason}}"),), "count:commands", height=6, decimals=0, alerts=("CommandsRefused",),
                  nothing="none refused"),
            Panel("table", "How long does a command take?", "From its arrival to its outcome, over the time shown; "
                  "as exact as the bounds of the histogram.", over_range("gateway_command_seconds", "operation", GATE),
                  "s", height=6, nothing="no commands", sort=("Operation", False),
                  columns=(Column("operation", "Operation"), Column("Value #A", "Commands", "short", decimals=0),
                           Column("Value #B", "Half below", "s"), Column("Value #C", "95 % below", "s")),
                  alerts=("CommandJournalFull", "CommandJournalStopped")),
        ),
    ),
    marks(GATE, ',instance=~"$instance"'),
)  # fmt: skip
UNITS = f"sum by (instance, sink, unit) (increase(gateway_sink_cloud_units_total{{{GATE}}}[$__range]))"
MESSAGES = f"(sum by (instance, sink) (increase(gateway_sink_messages_total{{{GATE}}}[$__range])) > 0)"
A_MESSAGE = f"{UNITS} / on (instance, sink) group_left () {MESSAGES}"
DELIVERY = Board(
    "delivery", "Delivery and backlog", ONE,
    (
        (
            Panel("states", "Which brokers are connected?", "Red while a broker is away; values wait on disk.",
                  (each("instance, sink", f"gateway_sink_connected{{{GATE}}}", "min"),), "short", 12, 6,
                  states=CONNECTED, alerts=("SinkDisconnected", "SinkFlapping"), links=TO_GATEWAY),
            Panel("lines", "Is the backlog growing?", "Values on disk for each broker.",
                  (each("instance, sink", f"gateway_outbox_values{{{GATE}}}"),), VALUES, 12, 6,
                  alerts=("BacklogGrowing", "BacklogTimeToFull"), links=TO_GATEWAY),
        ),
        (
            Panel("lines", "How much is delivered?", "Values per second that the broker acknowledged.",
                  (each("instance, sink", f"rate(gateway_values_delivered_total{{{GATE}}}[$__rate_interval])"),), RATE),
            Panel("heat", "How quickly does the broker answer?", "From publish to PUBACK. The stronger the colour of a "
                  "cell, the more messages took that long; a cell is as high as the histogram is exact.",
                  histogram("gateway_sink_ack_seconds", GATE), "s", alerts=("AckLatencyHigh",)),
            Panel("lines", "How full is the disk?", "Share of outbox.max_bytes that is in use.",
                  (each("instance", f"gateway_outbox_bytes{{{GATE}}} / gateway_outbox_capacity_bytes{{{GATE}}}"),),
                  "percentunit", steps=((None, "green"), (0.5, "orange"), (0.8, "red")), most=1,
                  alerts=("BacklogTimeToFull",)),
        ),
        (
            Panel("lines", "How long do values wait?", "Age of the oldest message in the outbox.",
                  (each("instance", f"gateway_outbox_oldest_age_seconds{{{GATE}}}", "max"),), "s",
                  steps=AGE, alerts=("OldestMessageTooOld",)),
            Panel("lines", "How much is sent again?", "Messages per second sent again after a session broke: the "
                  "broker may have received them before.",
                  (each("instance, sink", f"rate(gateway_sink_messages_repeated_total{{{GATE}}}[$__rate_interval])"),),
                  "count:messages/s"),
            Panel("lines", "Is publishing held back?", "Share of the time in which a backlog waited for "
                  "replay.max_rate.",
                  (each("instance, sink", f"rate(gateway_sink_throttled_seconds_total{{{GATE}}}[$__rate_interval])"),),
                  "percentunit", most=1, alerts=("ThrottledByQuota",)),
        ),
        (
            Panel("table", "What does it cost?", "What a cloud that charges by units of 4 or 5 KiB would charge, at "
                  "the messages of the time shown and the price entered above; `gateway profile show` has list "
                  "prices.",
                  ((A_MESSAGE, ""), (f"{A_MESSAGE} * $price", ""),
                   (f"{UNITS} / $__range_s * 86400 / 1e6 * $price", "")), "short", 12, sort=("Broker", False),
                  columns=(Column("sink", "Broker"), OF, Column("unit", "Unit"),
                           Column("Value #A", "Units per message", decimals=2),
                           Column("Value #B", "Cost per million messages", "currencyUSD"),
                           Column("Value #C", "Cost a day", "currencyUSD"))),
            Panel("lines", "How much traffic is it?", "Payload bytes per second that the broker acknowledged.",
                  (each("instance, sink", f"rate(gateway_sink_payload_bytes_total{{{GATE}}}[$__rate_interval])"),),
                  "Bps", 6),
            Panel("table", "What does the broker refuse?", "Messages refused for now, and dead letters, on disk.",
                  ((f"sum by (instance, sink) (gateway_sink_refused_messages{{{GATE}}})", ""),
                   (f"sum by (instance, sink) (gateway_sink_dead_letter_messages{{{GATE}}})", "")), "short", 6,
                  sort=("Broker", False), alerts=("RefusedByBroker",),
                  columns=(Column("sink", "Broker"), OF, Column("Value #A", "For now", steps=ZERO_IS_GOOD),
                           Column("Value #B", "Dead letters", steps=ZERO_IS_GOOD))),
        ),
    ),
    marks(GATE, ',instance=~"$instance"'),
    (("price", "US dollars per million units", "1"),),
)  # fmt: skip


def of_gateways(expr: str, how: str = "sum") -> tuple[str, str]:
    """The query of one column of the fleet's table."""
    return f"{how} by (site, instance) ({expr})", ""


FLEET = Board(
    "fleet", "Fleet of gateways", (("site", "gateway_ready"),),
    (
        (
            Panel("table", "Which gateways are there, and how do they do?", "One row for each; what was lost is of the "
                  "time shown, also across restarts. A click on a name leads to the gateway.",
                  ((f"max by (site, instance, version) (gateway_build_info{{{SITE}}})", ""),
                   of_gateways(ready(SITE), "min"),
                   of_gateways(f"site:gateway_values:rate1m{{{SITE}}}"),
                   of_gateways(f"gateway_outbox_values{{{SITE}}}"),
                   of_gateways(f"gateway_outbox_oldest_age_seconds{{{SITE}}}", "max"),
                   (lost(SITE, "site, instance"), ""),
                   of_gateways(f"gateway_config_last_reload_success{{{SITE}}}", "min"),
                   of_gateways(f"time() - gateway_start_time_seconds{{{SITE}}}", "min")),
                  "short", 24, 6, sort=("Gateway", False),
                  columns=(OF, Column("site", "Site", link=linked("plant", site="${__value.text}")),
                           Column("version", "Version"), Column("Value #B", "State", steps=UP, states=READY),
                           Column("Value #C", "Receives", RATE), Column("Value #D", "On disk", VALUES),
                           Column("Value #E", "Oldest", "s", AGE),
                           Column("Value #F", "Lost", VALUES, ZERO_IS_GOOD, decimals=0),
                           Column("Value #G", "Configuration", steps=UP,
                                  states=((0, "refused", "red"), (1, "taken", "green"))),
                           Column("Value #H", "Up for", "s")),
                  alerts=("GatewayDown", "GatewayRestarts", "ConfigurationRefused")),
        ),
        (
            Panel("states", "Which are ready?", "Green while every server and broker of the gateway is connected; "
                  "purple while it does not answer at all.", (each("instance", ready(SITE), "min"),), "short", 12, 7,
                  states=READY, alerts=("GatewayDown", "GatewayRestarts"), links=TO_GATEWAY),
            Panel("lines", "How much does each carry?", "Values received per second.",
                  (each("instance", f"site:gateway_values:rate1m{{{SITE}}}"),), RATE, 12, 7, beside=True,
                  links=TO_GATEWAY),
        ),
        (
            Panel("lines", "How much waits in the field?", "Values on disk of all gateways and brokers.",
                  (each("instance", f"gateway_outbox_values{{{SITE}}}"),), VALUES, stacked=True,
                  alerts=("BacklogGrowing",), links=TO_GATEWAY),
            Panel("lines", "How old is the oldest value?", "Age of the oldest message in each outbox.",
                  (each("instance", f"gateway_outbox_oldest_age_seconds{{{SITE}}}", "max"),), "s", steps=AGE,
                  alerts=("OldestMessageTooOld",), links=TO_GATEWAY),
            Panel("lines", "How much memory does each take?", "Resident memory of the gateway's process.",
                  (each("instance", f'process_resident_memory_bytes{{job="gateway",{SITE}}}', "max"),), "bytes",
                  links=TO_GATEWAY),
        ),
    ),
    marks(SITE),
)  # fmt: skip
