"""The alerts of the stack, as a table; `alerts.yml` is written from it.

    python docker/prometheus/rules.py          writes docker/prometheus/rules/alerts.yml

Every alert says in one sentence what is wrong, in a few more what to do (`description`), and links to its section in
RUNBOOK.md (`runbook_url`).  An alert that is certain at once, such as a loss, fires immediately and stays for its
window. All others wait, so that one bad scrape wakes nobody.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

TARGET = Path(__file__).parent / "rules" / "alerts.yml"
RUNBOOK = "{{ with $externalLabels.runbook }}{{ . }}{{ else }}docker/prometheus/RUNBOOK.md{{ end }}"
"""Where the runbook is: the external label `runbook` of prometheus.yml, an address that a browser opens."""
WHOLE = '{{ $value | printf "%.0f" }}'
"""How a count is shown: Prometheus extrapolates, and nobody drops 3.9 values."""
DAY_S = 86400
_FAULTS = " or ".join(
    f'increase(gateway_{kind}_{what}_total{{cause="bug"}}[15m]) > 0'
    for kind in ("source", "sink")
    for what in ("disconnects", "connect_failures")
)
_ENDS = (
    "(gateway_source_certificate_expires_timestamp_seconds > 0) or gateway_sink_certificate_expires_timestamp_seconds"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule."""

    name: str
    expr: str
    wait: str
    """How long it has to hold: Prometheus' `for`."""
    severity: str
    summary: str
    description: str


ALERTS = (
    Alert("Watchdog", "vector(1)", "0s", "none",
          "The way of alerts works: this one always fires.",
          "Nothing to do while it arrives. Have the receiver raise an alarm when it has not come for five minutes: "
          "then Prometheus, Alertmanager or the way between is broken, and other alerts would not come either."),
    Alert("GatewayDown", 'up{job="gateway"} == 0 or absent(up{job="gateway"})', "1m", "critical",
          "The gateway {{ $labels.instance }} does not answer.",
          "Check whether the process runs, and its last log lines. Exit code 78 means that the configuration cannot "
          "work. Values wait at the OPC UA servers for as long as their queues and the subscription's lifetime last."),
    Alert("GatewayRestarts", "changes(gateway_start_time_seconds[15m]) > 3", "0s", "warning",
          "The gateway {{ $labels.instance }} was restarted {{ $value }} times in 15 minutes.",
          "Read the last log lines before each start: an error that concerns no single peer ends the process on "
          "purpose. No value is lost by that, but nothing is read during a start."),
    Alert("ConfigurationRefused", "gateway_config_last_reload_success == 0", "1m", "warning",
          "The gateway {{ $labels.instance }} did not take its changed configuration.",
          "The log names file, line and reason. It still uses the earlier one, and would not start with this one."),
    Alert("SourceDisconnected", "gateway_source_connected == 0", "2m", "critical",
          "No connection to the OPC UA server {{ $labels.source }}.",
          "The log says why, once. Check the server and the network, then certificates (`gateway cert`). The gateway "
          "connects again by itself; what was missed is read from the server's history or announced as a gap."),
    Alert("SourceSilent",
          "time() - (gateway_source_last_response_timestamp_seconds > 0) > 60 and gateway_source_connected == 1",
          "1m", "warning", "The server {{ $labels.source }} is connected but silent.",
          "Not even keep-alives come. Restart the subscription by restarting the server's communication; if it happens "
          "again, look for a server that is overloaded."),
    Alert("SourceFlapping", "increase(gateway_source_connects_total[15m]) > 5", "0s", "warning",
          "The server {{ $labels.source }} was reconnected {{ $value }} times in 15 minutes.",
          "Look at the network between, and for a second client with the same certificate or session limit."),
    Alert("PeerFault", _FAULTS, "0s", "warning",
          "A fault of the gateway itself ended its work for {{ $labels.source }}{{ $labels.sink }}.",
          "It has begun that work again, and all other servers and brokers were not touched. The log has a traceback: "
          "keep it and report it. A fault that repeats stops this one peer until it is fixed."),
    Alert("SinkDisconnected", "gateway_sink_connected == 0", "2m", "critical",
          "No connection to the broker {{ $labels.sink }}.",
          "The log says why, once. Values wait on the disk; BacklogTimeToFull warns before it is full."),
    Alert("SinkFlapping", "increase(gateway_sink_connects_total[15m]) > 5", "0s", "warning",
          "The broker {{ $labels.sink }} was reconnected {{ $value }} times in 15 minutes.",
          "Two clients with the same client id disconnect each other; or the broker cuts the connection over a "
          "message: the log names the topic."),
    Alert("BacklogGrowing", "deriv(gateway_outbox_values[10m]) > 1 and gateway_outbox_values > 10000", "10m", "warning",
          "{{ $value | humanize }} more values per second arrive than {{ $labels.sink }} accepts.",
          "Compare the rates of the gateway dashboard: more values than planned, or a slow broker?"),
    Alert("BacklogTimeToFull",
          "predict_linear(gateway_outbox_bytes[30m], 4 * 3600) > gateway_outbox_capacity_bytes "
          "and deriv(gateway_outbox_bytes[30m]) > 0",
          "10m", "critical", "The outbox of {{ $labels.instance }} is full within four hours.",
          "Bring the broker back or raise outbox.max_bytes. When it is full, `when_full` decides: the oldest values "
          "are dropped and announced, or the servers wait."),
    Alert("OldestMessageTooOld", "gateway_outbox_oldest_age_seconds > 900", "5m", "warning",
          "The oldest value on disk waits for {{ $value | humanizeDuration }}.",
          "A broker is away or refuses a topic: see SinkDisconnected and RefusedByBroker."),
    Alert("OldestMessageDaysOld", f"gateway_outbox_oldest_age_seconds > {6 * DAY_S}", "5m", "critical",
          "The oldest value on disk waits for {{ $value | humanizeDuration }}.",
          "Some stores refuse values older than seven days (AWS IoT SiteWise): deliver it before that."),
    Alert("DataLoss", "sum without (reason) (increase(gateway_values_dropped_total[10m])) > 0", "0s", "critical",
          "{{ $value }} values were dropped for {{ $labels.sink }} in ten minutes.",
          "gateway_values_dropped_total shows the reason. Messages refused for good are among the dead letters "
          "(`gateway outbox`); the stream itself announces the gap."),
    Alert("ConservationViolated", "gateway_books_imbalance_values != 0", "1m", "critical",
          "{{ $value }} values of {{ $labels.sink }} are unaccounted for.",
          "This is a bug of the gateway: received + recovered must be delivered + stored + filtered + dropped + not "
          "routed. Keep the outbox folder and the log, and report it."),
    Alert("NotificationGaps", "increase(gateway_source_sequence_gaps_total[15m]) > 0", "0s", "warning",
          "{{ $value }} notifications of {{ $labels.source }} were missing.",
          "They were requested again; those that did not come are announced in the stream. Look for a server under "
          "load."),
    Alert("ServerQueueOverflow", "increase(gateway_source_queue_overflows_total[15m]) > 0", "0s", "warning",
          "The queue of {{ $labels.source }} overflowed: {{ $value }} values have the overflow bit.",
          "Raise queue_size, or lower publishing_interval, of this source."),
    Alert("ValuesUndecodable", "increase(gateway_source_undecodable_total[15m]) > 0", "0s", "warning",
          "{{ $value }} values of {{ $labels.source }} could not be decoded.",
          "The log names them. The usual reason is a structure without a definition on the server."),
    Alert("VariablesFailed", 'gateway_source_monitored_items{state="failed"} > 0', "5m", "warning",
          "{{ $value }} variables of {{ $labels.source }} are not subscribed.",
          "`gateway plan` names each with its reason. They are retried every retry_failed."),
    Alert("AddressSpaceRefused", "gateway_source_refused_lookups > 0", "15m", "warning",
          "{{ $labels.source }} does not tell all of its address space: {{ $value }} look-ups were refused.",
          "`gateway plan` names each place and its status. There may be variables that are not subscribed. They are "
          "looked for again every retry_failed."),
    Alert("BadQualityRatio", "source:gateway_bad_values:ratio_5m > 0.1", "5m", "warning",
          "{{ $value | humanizePercentage }} of the values of {{ $labels.source }} are not good.",
          "The status code of each value gives the reason: usually a sensor or a field bus."),
    Alert("ClockSkew", "abs(gateway_source_clock_offset_seconds) > 5", "10m", "warning",
          "The clock of {{ $labels.source }} differs from ours by {{ $value | humanizeDuration }}.",
          "Set up time synchronisation on the server, or on this machine: delays and order across servers are wrong."),
    Alert("AckLatencyHigh", "sink:gateway_ack_seconds:p95_5m > 2", "5m", "warning",
          "The broker {{ $labels.sink }} takes {{ $value | humanizeDuration }} to acknowledge.",
          "Look at the broker's load and at the network's round trip; a larger window hides a slow round trip."),
    Alert("DelayHigh", "source:gateway_delay_seconds:p95_5m > 30", "10m", "warning",
          "Values of {{ $labels.source }} reach {{ $labels.sink }} after {{ $value | humanizeDuration }}.",
          "If no backlog waits on the disk, the server itself is late: see ClockSkew."),
    Alert("ThrottledByQuota",
          "rate(gateway_sink_throttled_seconds_total[5m]) > 0.1 "
          'or rate(gateway_sink_refusals_total{reason="quota_exceeded"}[5m]) > 0',
          "10m", "warning", "Publishing to {{ $labels.sink }} is limited.",
          "By our own rate limit (replay.max_rate) or a quota of the broker: raise it, or send less."),
    Alert("RefusedByBroker", "gateway_sink_refused_messages > 0", "5m", "warning",
          "{{ $labels.sink }} refuses {{ $value }} messages for now.",
          "Not authorised, or a quota: the log names topic and reason. They stay on the disk and are offered again."),
    Alert("CertificateExpires30d", f"({_ENDS}) - time() < {30 * DAY_S}", "1h", "warning",
          "A certificate ends in {{ $value | humanizeDuration }}.",
          "`gateway cert` renews ours; a server's or broker's has to be renewed there, and a server's trusted here."),
    Alert("CertificateExpires7d", f"({_ENDS}) - time() < {7 * DAY_S}", "1h", "critical",
          "A certificate ends in {{ $value | humanizeDuration }}.",
          "`gateway cert` renews ours; a server's or broker's has to be renewed there, and a server's trusted here."),
    Alert("CredentialNotRenewed", "gateway_sink_credential_expires_timestamp_seconds - time() < 600", "1m", "critical",
          "The token for {{ $labels.sink }} ends in {{ $value | humanizeDuration }}.",
          "Nothing has renewed it. Renew it at the place that broker.password names; it is read at the next "
          "connection."),
    Alert("EventLoopLate",
          "histogram_quantile(0.99, rate(gateway_event_loop_lag_seconds_bucket[5m])) > 0.5", "5m", "warning",
          "The gateway {{ $labels.instance }} is {{ $value | humanizeDuration }} late.",
          "The CPU is too slow: send fewer values, use a cheaper payload format, or a faster machine."),
    Alert("SeriesLeftOut", "gateway_series_left_out > 0", "5m", "info",
          "The page {{ $labels.page }} of {{ $labels.instance }} leaves out {{ $value }} sources or tags.",
          "Its limit is reached. Raise http.max_sources; choose fewer tags, or raise http.max_tags."),
    Alert("CommandOutcomeUnknown",
          'sum without (operation) (increase(gateway_commands_total{outcome="unknown"}[15m])) > 0', "0s", "critical",
          "{{ $value }} commands were sent to a machine, but their outcome is unknown.",
          "`gateway audit` names them, with the values that the server showed afterwards. The gateway sends nothing "
          "twice: check the machine before a command is repeated."),
    Alert("CommandsRefused", "sum without (reason) (increase(gateway_command_refusals_total[15m])) > 20", "5m",
          "warning", "The gateway {{ $labels.instance }} refused {{ $value }} commands in 15 minutes.",
          "`gateway audit` says whose and why: a program with a wrong limit, or an unauthorised attempt."),
    Alert("CommandJournalStopped", "gateway_command_journal_writable == 0", "1m", "critical",
          "The gateway {{ $labels.instance }} accepts no commands: their journal cannot be written, or is damaged.",
          "The log says which. A full disk: make room. After damage it accepts commands again by itself when every "
          "earlier deadline has passed."),
    Alert("CommandJournalFull",
          'gateway_command_journal_bytes{what="held"} '
          '> ignoring (what) 0.8 * gateway_command_journal_bytes{what="capacity"}',
          "5m", "warning", "The journal of commands of {{ $labels.instance }} holds {{ $value | humanize1024 }}B.",
          "When it is full, new commands are refused. Send fewer commands, with shorter deadlines, or raise "
          "commands.journal_bytes."),
    Alert("GroupWorkWithoutMember", "max without (instance) (gateway_group_works_without_member) > 0", "2m", "critical",
          "{{ $value }} sources or brokers of the group are with no member.",
          "No member takes them: too few are there, all are drained, or the log takes no claims. `gateway group "
          "status` and the log of a member say which."),
    Alert("GroupLogFilling",
          'gateway_group_log_bytes{what="held"} > ignoring (what) 0.7 * gateway_group_log_bytes{what="capacity"}',
          "5m", "warning", "The log of the group of {{ $labels.instance }} holds {{ $value | humanize1024 }}B.",
          "At seven eighths of group.max_bytes sources are not read any more. A broker takes no values, or more than "
          "one: `gateway group status` says how far behind each is."),
    Alert("OEELow", "machine:factory_oee:ratio_1h < 0.5", "30m", "info",
          "OEE of {{ $labels.machine }} is {{ $value | humanizePercentage }}.",
          "The machine dashboard shows which of availability, effectiveness and quality is low, and the stops that "
          "cause it."),
)  # fmt: skip


def document() -> dict[str, object]:
    """The rule file as Prometheus reads it."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.wait,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary.replace("{{ $value }}", WHOLE),
                "description": alert.description,
                "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
            },
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "alerts", "rules": rules}]}


def text() -> str:
    return "# Written by docker/prometheus/rules.py.\n" + yaml.safe_dump(document(), sort_keys=False, width=120)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
