"""The alerts of the stack, as a table; `alerts.yml` is written from it.

    python docker/prometheus/rules.py          writes docker/prometheus/rules/alerts.yml

Every alert says what is wrong in one sentence, what to do about it in another (`description`), and where the whole of
that stands (`runbook_url`: a section of RUNBOOK.md).  What needs no time to be sure of, a loss for example, fires at
once and stays for its window; everything else waits, so that one bad scrape wakes nobody.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

TARGET = Path(__file__).parent / "rules" / "alerts.yml"
RUNBOOK = "docker/prometheus/RUNBOOK.md"
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
    Alert("GatewayDown", 'up{job="gateway"} == 0 or absent(up{job="gateway"})', "1m", "critical",
          "The gateway {{ $labels.instance }} does not answer.",
          "See whether the process runs and what its log says last. Exit code 78 means that the configuration cannot "
          "work. Values wait at the OPC UA servers for as long as their queues and the subscription's lifetime last."),
    Alert("GatewayRestarts", "changes(gateway_start_time_seconds[15m]) > 3", "0s", "warning",
          "The gateway {{ $labels.instance }} was restarted {{ $value }} times in 15 minutes.",
          "Read the last log lines before each start: an error that is nobody's ends the process on purpose. Nothing "
          "is lost by it, but while it starts nobody reads."),
    Alert("ConfigurationRefused", "gateway_config_last_reload_success == 0", "1m", "warning",
          "The gateway {{ $labels.instance }} did not take its changed configuration.",
          "The log names file, line and reason. It works on with the earlier one, and would not start with this one."),
    Alert("SourceDisconnected", "gateway_source_connected == 0", "2m", "critical",
          "No connection to the OPC UA server {{ $labels.source }}.",
          "The log says why, once. Check the server and the network, then certificates (`gateway cert`). The gateway "
          "connects again by itself; what was missed is read from the server's history or announced as a gap."),
    Alert("SourceSilent",
          "time() - (gateway_source_last_response_timestamp_seconds > 0) > 60 and gateway_source_connected == 1",
          "1m", "warning", "The server {{ $labels.source }} is connected and says nothing.",
          "Not even keep-alives come. Restart the subscription by restarting the server's communication; if it happens "
          "again, look for a server that is overloaded."),
    Alert("SourceFlapping", "increase(gateway_source_connects_total[15m]) > 5", "0s", "warning",
          "The server {{ $labels.source }} was connected anew {{ $value }} times in 15 minutes.",
          "Look at the network between, and for a second client with the same certificate or session limit."),
    Alert("PeerFault", _FAULTS, "0s", "warning",
          "A fault of the gateway itself ended its work for {{ $labels.source }}{{ $labels.sink }}.",
          "It has begun that work again, and all other servers and brokers were not touched. The log has a traceback: "
          "keep it and report it. What comes again and again holds up this one peer until it is mended."),
    Alert("SinkDisconnected", "gateway_sink_connected == 0", "2m", "critical",
          "No connection to the broker {{ $labels.sink }}.",
          "The log says why, once. Values wait on disk; BacklogTimeToFull says for how long that goes well."),
    Alert("SinkFlapping", "increase(gateway_sink_connects_total[15m]) > 5", "0s", "warning",
          "The broker {{ $labels.sink }} was connected anew {{ $value }} times in 15 minutes.",
          "Two clients with one client id throw each other out; or the broker cuts over a message it does not like: "
          "the log names the topic."),
    Alert("BacklogGrowing", "deriv(gateway_outbox_values[10m]) > 1 and gateway_outbox_values > 10000", "10m", "warning",
          "{{ $value }} values a second more come in than {{ $labels.sink }} takes.",
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
          "Some stores take no value older than seven days (AWS IoT SiteWise): deliver it before."),
    Alert("DataLoss", "sum without (reason) (increase(gateway_values_dropped_total[10m])) > 0", "0s", "critical",
          "{{ $value }} values were dropped for {{ $labels.sink }} in ten minutes.",
          "gateway_values_dropped_total says for what reason. What was refused for good is among the dead letters "
          "(`gateway outbox`); the stream itself announces the gap."),
    Alert("ConservationViolated", "gateway_books_imbalance_values != 0", "1m", "critical",
          "{{ $value }} values of {{ $labels.sink }} are unaccounted for.",
          "This is a bug of the gateway: received + recovered must be delivered + stored + filtered + dropped + not "
          "routed. Keep the outbox folder and the log, and report it."),
    Alert("NotificationGaps", "increase(gateway_source_sequence_gaps_total[15m]) > 0", "0s", "warning",
          "{{ $value }} notifications of {{ $labels.source }} were missing.",
          "They were asked for again; what did not come is announced in the stream. Look for a server under load."),
    Alert("ServerQueueOverflow", "increase(gateway_source_queue_overflows_total[15m]) > 0", "0s", "warning",
          "The queue of {{ $labels.source }} ran over: {{ $value }} values are flagged.",
          "Raise queue_size, or lower publishing_interval, of this source."),
    Alert("ValuesUndecodable", "increase(gateway_source_undecodable_total[15m]) > 0", "0s", "warning",
          "{{ $value }} values of {{ $labels.source }} could not be decoded.",
          "The log names them. A structure whose definition the server does not publish is the usual reason."),
    Alert("VariablesFailed", 'gateway_source_monitored_items{state="failed"} > 0', "5m", "warning",
          "{{ $value }} variables of {{ $labels.source }} are not subscribed.",
          "`gateway plan` names each and says why. They are tried again every retry_failed."),
    Alert("BadQualityRatio", "source:gateway_bad_values:ratio_5m > 0.1", "5m", "warning",
          "{{ $value | humanizePercentage }} of the values of {{ $labels.source }} are not good.",
          "The status of each value tells what its server knows: usually a sensor or a field bus behind it."),
    Alert("ClockSkew", "abs(gateway_source_clock_offset_seconds) > 5", "10m", "warning",
          "The clock of {{ $labels.source }} is {{ $value }} s away from ours.",
          "Set up time synchronisation on the server, or on this machine: delays and order across servers are wrong."),
    Alert("AckLatencyHigh", "sink:gateway_ack_seconds:p95_5m > 2", "5m", "warning",
          "The broker {{ $labels.sink }} takes {{ $value }} s to acknowledge.",
          "Look at the broker's load and at the network's round trip; a larger window hides a slow round trip."),
    Alert("DelayHigh", "source:gateway_delay_seconds:p95_5m > 30", "10m", "warning",
          "Values of {{ $labels.source }} reach {{ $labels.sink }} after {{ $value }} s.",
          "If nothing waits on disk, the server itself is late: compare ClockSkew."),
    Alert("ThrottledByQuota",
          "rate(gateway_sink_throttled_seconds_total[5m]) > 0.1 "
          'or rate(gateway_sink_refusals_total{reason="quota_exceeded"}[5m]) > 0',
          "10m", "warning", "Publishing to {{ $labels.sink }} is held back by a limit.",
          "A rate limit of ours (replay.max_rate) or a quota of the broker: raise it, or send less."),
    Alert("RefusedByBroker", "gateway_sink_refused_messages > 0", "5m", "warning",
          "{{ $labels.sink }} refuses {{ $value }} messages for now.",
          "Not authorised, or a quota: the log names topic and reason. They are kept on disk and offered again."),
    Alert("CertificateExpires30d", f"({_ENDS}) - time() < {30 * DAY_S}", "1h", "warning",
          "A certificate ends in {{ $value | humanizeDuration }}.",
          "`gateway cert` renews ours; a server's or broker's has to be renewed there, and a server's trusted here."),
    Alert("CertificateExpires7d", f"({_ENDS}) - time() < {7 * DAY_S}", "1h", "critical",
          "A certificate ends in {{ $value | humanizeDuration }}.",
          "`gateway cert` renews ours; a server's or broker's has to be renewed there, and a server's trusted here."),
    Alert("CredentialNotRenewed", "gateway_sink_credential_expires_timestamp_seconds - time() < 600", "1m", "critical",
          "The token for {{ $labels.sink }} ends in {{ $value | humanizeDuration }}.",
          "Nothing has renewed it. Renew it where broker.password says; it is read at the next connection."),
    Alert("EventLoopLate",
          "histogram_quantile(0.99, rate(gateway_event_loop_lag_seconds_bucket[5m])) > 0.5", "5m", "warning",
          "The gateway {{ $labels.instance }} is {{ $value }} s late with its own work.",
          "The machine has not enough processor for it: fewer values, a cheaper payload format, or a faster machine."),
    Alert("SeriesLeftOut", "gateway_series_left_out > 0", "5m", "info",
          "The page {{ $labels.page }} of {{ $labels.instance }} leaves out {{ $value }} sources or tags.",
          "It is longer than its cap. Raise http.max_sources; choose fewer tags, or raise http.max_tags."),
    Alert("CommandOutcomeUnknown",
          'sum without (operation) (increase(gateway_commands_total{outcome="unknown"}[15m])) > 0', "0s", "critical",
          "{{ $value }} commands were sent to a machine, and nobody knows what became of them.",
          "`gateway audit` names them, with what the server showed afterwards. Nothing is sent twice by itself: look "
          "at the machine before anybody asks again."),
    Alert("CommandsRefused", "sum without (reason) (increase(gateway_command_refusals_total[15m])) > 20", "5m",
          "warning", "The gateway {{ $labels.instance }} refused {{ $value }} commands in 15 minutes.",
          "`gateway audit` says whose and why: a program with a wrong limit, or somebody who tries what he may not."),
    Alert("CommandJournalStopped", "gateway_command_journal_writable == 0", "1m", "critical",
          "The gateway {{ $labels.instance }} takes no commands: their journal cannot be written, or not believed.",
          "The log says which. A full disk: make room. After damage it takes commands again by itself, once every "
          "earlier deadline has passed."),
    Alert("CommandJournalFull",
          'gateway_command_journal_bytes{what="held"} '
          '> ignoring (what) 0.8 * gateway_command_journal_bytes{what="capacity"}',
          "5m", "warning", "The journal of commands of {{ $labels.instance }} holds {{ $value | humanize1024 }}B.",
          "Full, it refuses new commands. Fewer commands, shorter deadlines, or a larger commands.journal_bytes."),
    Alert("OEELow", "machine:factory_oee:ratio_1h < 0.5", "30m", "info",
          "OEE of {{ $labels.machine }} is {{ $value | humanizePercentage }}.",
          "The machine dashboard shows which of availability, effectiveness and quality it is, and the stops behind."),
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
                "summary": alert.summary,
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
