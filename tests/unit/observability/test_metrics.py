"""The series themselves: named by the rules, described, bounded, and what they add up to."""

import runpy
import time
from pathlib import Path

from prometheus_client import generate_latest

from gateway.metrics import DROP_REASONS, MOST_SOURCES, OTHER, Metrics

REFERENCE = Path(__file__).parents[3] / "docker" / "prometheus" / "reference.py"


def test_the_reference_is_current() -> None:
    made = runpy.run_path(str(REFERENCE))["text"]()
    assert (REFERENCE.parent / "METRICS.md").read_text(encoding="utf-8") == made


def test_the_runbook_names_every_reason_why_values_are_dropped() -> None:
    _, _, section = (REFERENCE.parent / "RUNBOOK.md").read_text(encoding="utf-8").partition("\n## DataLoss\n")
    told = section.partition("\n## ")[0]
    assert [reason for reason in DROP_REASONS if f"`{reason}`" not in told] == []


def test_every_metric_has_help_and_base_units() -> None:
    for family in Metrics().registry.collect():
        assert family.documentation.endswith("."), family.name
        assert not family.name.endswith(("_ms", "_millis", "_kb", "_percent", "_minutes")), family.name


def test_an_imbalance_is_the_difference_of_the_counters() -> None:
    metrics = Metrics()
    source, sink = metrics.for_source("line-1"), metrics.for_sink("broker")
    metrics.for_sink("other")
    source.received.inc(10)
    sink.recovered.inc(5)
    sink.delivered.inc(7)
    sink.stored_values.set(6)
    metrics.dropped.labels("broker", "expired").inc(2)
    assert metrics.registry.get_sample_value("gateway_books_imbalance_values", {"sink": "broker"}) == 0
    sink.delivered.inc()
    assert metrics.registry.get_sample_value("gateway_books_imbalance_values", {"sink": "broker"}) == -1
    assert metrics.registry.get_sample_value("gateway_books_imbalance_values", {"sink": "other"}) == 10


def test_fifty_servers_and_four_brokers_stay_under_a_megabyte() -> None:
    metrics = Metrics()
    for source in range(50):
        metrics.for_source(f"source-{source}").received.inc(10_000)
        for sink in range(4):
            metrics.for_sink(f"broker-{sink}")
            metrics.delays(f"broker-{sink}")[f"source-{source}"].observe(1.0)
    since_s = time.process_time()
    text = generate_latest(metrics.registry)
    assert len(text) < 1_000_000
    assert time.process_time() - since_s < 1.0  # measured: about 0.05 s; a slow machine is no failure


def test_sources_beyond_the_cap_share_their_histograms_and_are_counted() -> None:
    metrics = Metrics()
    for source in range(MOST_SOURCES + 7):
        metrics.for_source(f"source-{source}").batch_values.observe(1)
        metrics.delays("broker")[f"source-{source}"].observe(1.0)
    count = metrics.registry.get_sample_value
    assert count("gateway_series_left_out", {"page": "metrics"}) == 7
    assert count("gateway_source_batch_values_count", {"source": OTHER}) == 7
    assert count("gateway_delay_seconds_count", {"source": OTHER, "sink": "broker"}) == 7


def shown(metrics: Metrics) -> set[str]:
    """The sources that have histograms of their own."""
    return {
        sample.labels["source"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "gateway_source_batch_values_count"
    } - {OTHER}


def test_the_cap_on_histograms_counts_the_sources_that_are_there() -> None:
    metrics = Metrics(most_sources=3)
    for source in range(10):
        metrics.for_source(f"source-{source}").batch_values.observe(1)
        metrics.delays("broker")[f"source-{source}"].observe(1.0)
        metrics.source_ends(f"source-{source}")
    metrics.for_source("another")
    assert shown(metrics) == {"another"}
    metrics.delays("broker")["source-3"].observe(1.0)  # out of the backlog of a source that is gone
    count = metrics.registry.get_sample_value
    assert count("gateway_series_left_out", {"page": "metrics"}) == 0
    assert count("gateway_delay_seconds_count", {"source": OTHER, "sink": "broker"}) == 1


def test_a_free_label_below_the_cap_goes_to_the_next_source() -> None:
    metrics = Metrics(most_sources=2)
    bound = {name: metrics.for_source(name) for name in "abc"}
    metrics.delays("broker")["c"].observe(1.0)
    assert shown(metrics) == {"a", "b"}
    metrics.source_ends("a")
    bound["c"].batch_values.observe(1)
    metrics.delays("broker")["c"].observe(1.0)
    count = metrics.registry.get_sample_value
    assert shown(metrics) == {"b", "c"}
    assert count("gateway_delay_seconds_count", {"source": "c", "sink": "broker"}) == 1


def test_a_changed_cap_takes_effect_at_once() -> None:
    metrics = Metrics(most_sources=1)
    bound = {name: metrics.for_source(name) for name in "abc"}
    metrics.keep_within(2)
    assert shown(metrics) == {"a", "b"}
    metrics.keep_within(1)
    for each in bound.values():
        each.batch_values.observe(1)
    assert shown(metrics) == {"a"}
    assert metrics.registry.get_sample_value("gateway_source_batch_values_count", {"source": OTHER}) == 2
    assert metrics.registry.get_sample_value("gateway_series_left_out", {"page": "metrics"}) == 2


def test_a_refused_configuration_leaves_the_earlier_one_and_says_so() -> None:
    metrics = Metrics()
    figure = metrics.registry.get_sample_value
    metrics.config_in_use("abc")
    taken_s = figure("gateway_config_last_reload_success_timestamp_seconds")
    assert figure("gateway_config_reloads_total", {"result": "refused"}) == 0
    metrics.reload_refused()
    assert figure("gateway_config_last_reload_success") == 0
    assert figure("gateway_config_last_reload_success_timestamp_seconds") == taken_s
    assert figure("gateway_config_hash_info", {"hash": "abc"}) == 1
    metrics.reload_taken("def")
    assert figure("gateway_config_last_reload_success") == 1
    assert figure("gateway_config_reloads_total", {"result": "refused"}) == 1
    assert figure("gateway_config_reloads_total", {"result": "taken"}) == 1  # the start is none
