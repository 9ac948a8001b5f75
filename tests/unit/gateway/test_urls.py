"""Addresses: one strict reader, which repeats nothing that may be a secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import BrokerConfig, SourceConfig
from gateway.config.broker import BROKER_SCHEMES
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.urls import PORTS, Url, checked_host, parse_url

SECRETS = ("S3cret", "1234", "admin", "hunter")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mqtt://backup..example", "an empty part before or between"),
        ("mqtt://.example", "an empty part before or between"),
        ("mqtt://" + "a" * 64, "is not a valid name"),
        ("mqtt://" + ".".join(["a" * 60] * 5), "is not a valid name"),
        ("mqtt://-a.example", "is not a valid name"),
        ("mqtt://a_b.exam$ple", "is not a valid name"),
        ("mqtt://ü..example", "is not a valid name"),
        ("mqtt://1.2.3", "looks like an IP address but is not a valid one"),
        ("mqtt://256.0.0.1", "looks like an IP address but is not a valid one"),
        ("mqtt://[::1", "write an address as"),
        ("mqtt://[1.2.3.4]:1", "not an IPv6 address"),
        ("mqtt://[::z]:1", "not an IPv6 address"),
        ("mqtt://::1:1883", "write an address as"),
        ("mqtt://admin:S#cret@host", "keep user name and password out"),
        ("mqtt://admin:1234/S3cret@broker", "keep user name and password out"),
        ("mqtt://admin:S3cret@broker", "keep user name and password out"),
        ("mqtt:/admin:S3cret@broker", "keep user name and password out"),
        ("mqtt://admin:S3cret", "a port is a number from 1 to 65535"),
        ("mqtt://broker?password=S3cret", "remove the ? or #"),
        ("wss://broker/mqtt?token=S3cret", "remove the ? or #"),
        ("wss://broker/mqtt#S3cret", "remove the ? or #"),
        ("mqtt://broker/S3cret", "mqtt:// has no path"),
        ("mqtts://broker:8883/mqtt", "mqtts:// has no path"),
        ("mqtt://broker:0", "a port is a number from 1 to 65535"),
        ("mqtt://broker:", "a port is a number from 1 to 65535"),
        ("mqtt://broker:65536", "a port is a number from 1 to 65535"),
        ("mqtt://broker:1_0", "a port is a number from 1 to 65535"),
        ("mqtt://broker:+1", "a port is a number from 1 to 65535"),
        ("mqtt://broker:١", "a port is a number from 1 to 65535"),
        ("mqtt://my broker", "must not contain spaces"),
        (" mqtt://broker", "must not contain spaces"),
        ("mqtt://broker\n", "spaces or line breaks"),
        ("mqtt://bro\tker", "spaces or line breaks"),
        ("mqtt://${BROKER}:1883", "variables are not replaced here"),
        ("mqtt://{{ broker }}", "variables are not replaced here"),
        ("wss://broker/a\\b", "the path contains a character"),
        ("wss://broker/%zz", "the path contains a character"),
        ("mqtt://", "mqtt://: write an address as"),
        ("mqtt:///a", "write an address as"),
        ("broker:1883", "write an address as"),
        ("", "write an address as"),
        ("tcp://broker:1883", "tcp://broker:1883: write an address as"),
        ("http://broker", "http://broker: write an address as"),
    ],
)
def test_an_invalid_address_is_reported_without_repeating_a_secret(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_url(text, BROKER_SCHEMES)
    assert told in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mqtt://broker", Url("mqtt", "broker", 1883)),
        ("mqtt://broker/", Url("mqtt", "broker", 1883)),
        ("MQTTS://Broker.Example.:8884", Url("mqtts", "Broker.Example.", 8884)),
        ("ws://10.0.0.1/mqtt", Url("ws", "10.0.0.1", 80, "/mqtt")),
        ("wss://a_b-c.example:443/a/b%20c;x=1", Url("wss", "a_b-c.example", 443, "/a/b%20c;x=1")),
        ("mqtt://[::1]", Url("mqtt", "::1", 1883)),
        ("mqtt://[fe80::1%eth0]:1", Url("mqtt", "fe80::1%eth0", 1)),
        ("mqtt://bücher.example", Url("mqtt", "xn--bcher-kva.example", 1883)),
        ("mqtt://xn--bcher-kva.example", Url("mqtt", "xn--bcher-kva.example", 1883)),
        ("mqtt://1a.2b", Url("mqtt", "1a.2b", 1883)),
        ("opc.tcp://plc", Url("opc.tcp", "plc", 4840)),
        ("opc.tcp://plc:48010/UA/Größe", Url("opc.tcp", "plc", 48010, "/UA/Größe")),
        ("http://127.0.0.1:9464/metrics", Url("http", "127.0.0.1", 9464, "/metrics")),
    ],
)
def test_the_parts_of_an_address(text: str, url: Url) -> None:
    assert parse_url(text, tuple(PORTS)) == url
    assert parse_url(str(url), tuple(PORTS)) == url


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("b", False)],
)
def test_loopback_addresses_are_local(host: str, is_local: bool) -> None:
    assert Url("mqtt", host, 1).is_local is is_local


@given(st.text(max_size=30) | st.from_regex(r"(mqtt|wss?)://[a-z.:@/?#\[\]0-9-]{0,20}", fullmatch=True))
def test_any_text_gives_a_usable_address_or_a_mistake(text: str) -> None:
    try:
        url = parse_url(text, BROKER_SCHEMES)
    except ValueError:
        return
    url.host.encode("idna")  # what a resolver does with it
    assert 1 <= url.port <= 65535
    assert parse_url(str(url), BROKER_SCHEMES) == url


def test_a_server_without_a_port_listens_on_4840() -> None:
    keys = {"name": "a", "insecure": True, "select": [{"node": "i=85"}]}
    assert SourceConfig.model_validate({**keys, "url": "opc.tcp://plc"}).url == "opc.tcp://plc:4840"
    assert SourceConfig.model_validate({**keys, "url": "OPC.TCP://plc:1/a"}).url == "opc.tcp://plc:1/a"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ("tls: {server_name: a..b}", "broker.tls.server_name"),
        ("tls: {alpn: ['']}", "broker.tls.alpn[0]"),
        ("fallback: ['mqtt://a..b']", "broker.fallback[0]"),
        (f"username: {'u' * 70_000}", "broker.username"),
        (f"client_id: {'ü' * 40_000}", "broker.client_id"),
        ("query: {env: QUERY}", "broker"),
    ],
)
def test_a_setting_that_would_crash_the_first_connection_is_a_mistake(tmp_path: Path, keys: str, place: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "sources: [{name: a, url: opc.tcp://h, insecure: true, select: [{node: i=1}]}]\n"
        f"broker:\n  url: mqtt://h\n  {keys}\npayload: {{topic: a}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert f": {place}: " in caught.value.problems[0]


def test_the_host_for_metrics_is_checked(tmp_path: Path) -> None:
    assert [checked_host(host) for host in ("0.0.0.0", "::", "localhost")] == ["0.0.0.0", "::", "localhost"]
    with pytest.raises(ValueError, match="an empty part"):
        checked_host("a..b")


def test_a_secret_query_goes_with_a_web_socket_and_tls_only() -> None:
    query = {"query": {"env": "QUERY"}}
    assert BrokerConfig.model_validate({"url": "wss://b/mqtt", **query}).query
    assert BrokerConfig.model_validate({"url": "ws://localhost/mqtt", **query}).query
    with pytest.raises(ValueError, match="unencrypted"):
        BrokerConfig.model_validate({"url": "ws://b/mqtt", **query})
    with pytest.raises(ValueError, match="query needs a web socket address"):
        BrokerConfig.model_validate({"url": "mqtts://b", **query})
