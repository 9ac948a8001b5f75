"""A schema registry by HTTP: one request, and the five bytes before each payload that follow from its answer."""

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request

from gateway.config import BrokerConfig
from gateway.errors import Unavailable
from gateway.kafka.settings import schema_of
from gateway.tcp import explain
from gateway.urls import parse_url

_TYPE = "application/vnd.schemaregistry.v1+json"
_MOST_BYTES = 2**20


def header_of(config: BrokerConfig) -> bytes:
    """Register the schema, and return what payloads begin with: 0, and its number in four bytes.  Empty: no registry is
    set.  The same schema gets the same number.  Blocks.  Raises `Unavailable`, `ConfigError`.
    """
    kafka = config.kafka_or_default
    registry = kafka.registry
    if registry is None:
        return b""
    subject = urllib.parse.quote(registry.subject or f"{kafka.topic}-value", safe="")
    body = json.dumps({"schemaType": "JSON", "schema": schema_of(config)}).encode()
    url = f"{registry.url.rstrip('/')}/subjects/{subject}/versions"
    request = urllib.request.Request(url, body, {"Content-Type": _TYPE, "Accept": _TYPE}, method="POST")
    if registry.username is not None and registry.password is not None:
        login = base64.b64encode(f"{registry.username}:{registry.password.read()}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    context = ssl.create_default_context(cafile=config.tls.ca) if registry.url.startswith("https") else None
    try:
        with urllib.request.urlopen(request, timeout=config.connect_timeout, context=context) as answer:
            number = json.loads(answer.read(_MOST_BYTES))["id"]
            return b"\0" + int(number).to_bytes(4, "big")
    except urllib.error.HTTPError as error:
        told = error.read(1000).decode(errors="replace")
        raise Unavailable(f"{registry.url} refuses the schema with {error.code}: {told}") from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        cause = reason if isinstance(reason, OSError) else error
        raise Unavailable(f"{registry.url} {explain(cause, parse_url(registry.url, ('http', 'https')))}") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Unavailable(f"{registry.url} answers what is no schema registry's answer") from error
