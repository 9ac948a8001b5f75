"""The hub of a device, as Azure's Device Provisioning Service (DPS) assigns it: a registration over HTTPS.

A device shows a signature of its key (also of one that follows from its group's), or its certificate.  The service may
need a while, and says how long to wait.  Blocks: for a thread.  The assignment holds until a hub refuses the device.
"""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import gateway.mqtt.credentials as credentials
import gateway.tls as tls
from gateway.config import BrokerConfig
from gateway.config.from_profile import url_at
from gateway.errors import ConfigError, Unavailable
from gateway.profiles import signing
from gateway.urls import parse_url

_VERSION = "api-version=2021-06-01"
_SIGNED_FOR_S = 3600
_TIMEOUT_S = 10.0
_MOST_S = 120.0
"""How long an assignment may take."""
_MOST_WAIT_S = 30.0
_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Assigned:
    """What the service says."""

    hub: str
    device: str


def register(config: BrokerConfig, default_device: str) -> Assigned:
    """The hub of this device.  Raises `Unavailable` with what the service says, and `ConfigError` for a secret."""
    assert config.credentials is not None
    assert config.credentials.provisioning is not None
    asked = config.credentials.provisioning
    registration = asked.registration or config.who(default_device).device
    url, place = parse_url(asked.endpoint, ("https", "http")), f"/{asked.scope}/registrations/{quote(registration)}"
    headers = {"Content-Type": "application/json", "User-Agent": "connected-factory"}
    key = credentials.key_of(config.credentials, registration)
    if key is not None:
        resource, until_s = f"{asked.scope}/registrations/{registration}", int(time.time()) + _SIGNED_FOR_S
        try:
            headers["Authorization"] = signing.sas_token(resource, key, until_s, policy="registration")
        except ValueError as error:
            raise ConfigError([f"credentials: {error}"]) from error
    line = _line(config, url.scheme, url.host, url.port)
    try:
        body = json.dumps({"registrationId": registration}).encode()
        answer, wait_s = _asked(line, "PUT", f"{place}/register?{_VERSION}", headers, body)
        ends_s = time.monotonic() + _MOST_S
        while answer.get("status") == "assigning" and time.monotonic() < ends_s:
            time.sleep(min(wait_s, _MOST_WAIT_S))
            operation = quote(str(answer.get("operationId", "")), safe="")
            answer, wait_s = _asked(line, "GET", f"{place}/operations/{operation}?{_VERSION}", headers)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{asked.endpoint} does not answer: {error}", "connect") from error
    finally:
        line.close()
    return _assigned(answer, asked.endpoint, registration)


def placed(config: BrokerConfig, assigned: Assigned) -> BrokerConfig:
    """The broker with the hub that was assigned; an address that the file names stays."""
    profile = config.table
    assert profile is not None
    assert config.credentials is not None
    assert config.credentials.provisioning is not None
    service = parse_url(config.credentials.provisioning.endpoint, ("https", "http"))
    changes: dict[str, object] = {"endpoint": assigned.hub, "device": assigned.device}
    if config.url == url_at(profile, service.host):
        changes["url"] = url_at(profile, assigned.hub)
    return config.model_copy(update=changes)


def _line(config: BrokerConfig, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    context: ssl.SSLContext = tls.context(config.tls)
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)


def _asked(
    line: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[Mapping[str, object], float]:
    """The answer, and how long to wait before asking on.  Raises `Unavailable` for a refusal."""
    line.request(method, path, body, dict(headers))
    answer = line.getresponse()
    data = answer.read(_MOST_BYTES)
    try:
        said = json.loads(data or b"{}")
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    if answer.status >= 300:
        why = str(said.get("message") or answer.reason)[:300]
        raise Unavailable(f"the provisioning service refuses the registration: {answer.status} {why}", "refused")
    wait = answer.getheader("Retry-After", "2")
    return said, float(wait) if wait.isdigit() else 2.0


def _assigned(answer: Mapping[str, object], endpoint: str, registration: str) -> Assigned:
    state = answer.get("registrationState")
    state = state if isinstance(state, dict) else {}
    hub, device = state.get("assignedHub"), state.get("deviceId")
    if answer.get("status") == "assigned" and isinstance(hub, str) and hub and isinstance(device, str) and device:
        return Assigned(hub, device)
    why = state.get("errorMessage") or answer.get("status") or "it names no hub"
    raise Unavailable(f"{endpoint} does not assign {registration} to a hub: {str(why)[:300]}", "refused")
