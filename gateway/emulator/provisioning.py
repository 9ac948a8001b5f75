"""Azure's Device Provisioning Service, emulated: two requests of HTTP, the same logins as the hub behind it.

    PUT /{scope}/registrations/{registration}/register                    202, and how long to wait
    GET /{scope}/registrations/{registration}/operations/{operation}      200, with the hub

A device signs with its key, which may follow from that of a group, or shows a certificate with its name.
"""

import asyncio
import hmac
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from gateway.emulator.policy import Devices
from gateway.profiles import signing

_ASKED = re.compile(r"/([^/]+)/registrations/([^/]+)/(register|operations/[^/?]+)\?api-version=\d{4}-\d\d-\d\d")
_MOST_HEADERS = 50
_MOST_BODY = 10_000
_TIMEOUT_S = 10.0
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Service:
    """The state of the service."""

    devices: Devices
    scope: str
    retry_after_s: int = 1
    port: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """By what happened: registered, asked, refused."""

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], certificate: str | None
    ) -> tuple[int, Mapping[str, object]]:
        """Status and body.  Raises `_RefusedError`."""
        found = _ASKED.fullmatch(target)
        if found is None or (method, found[3] == "register") not in (("PUT", True), ("GET", False)):
            raise _RefusedError(404, "there is nothing here")
        registration = unquote(found[2])
        if found[1] != self.scope or registration not in self.devices.keys:
            raise _RefusedError(401, f"{registration} is not enrolled in {found[1]}")
        self._check(registration, headers.get("authorization", ""), certificate)
        if method == "PUT":
            self.counts["registered"] += 1
            return 202, {"operationId": f"4.{registration}.op", "status": "assigning"}
        self.counts["asked"] += 1
        state = {
            "registrationId": registration, "assignedHub": self.devices.host, "deviceId": registration,
            "status": "assigned",
        }  # fmt: skip
        return 200, {"operationId": f"4.{registration}.op", "status": "assigned", "registrationState": state}

    def _check(self, registration: str, said: str, certificate: str | None) -> None:
        key = self.devices.keys[registration]
        if not key or not said:
            if certificate != registration:
                raise _RefusedError(401, "neither a signature nor the certificate of this device")
            return
        fields = parse_qs(said.removeprefix("SharedAccessSignature "))
        until = fields.get("se", ["0"])[0]
        until_s = int(until) if until.isdigit() else 0
        wanted = signing.sas_token(f"{self.scope}/registrations/{registration}", key, until_s, policy="registration")
        if not hmac.compare_digest(wanted.encode(), said.encode()):
            raise _RefusedError(401, "the signature is not that of this device")
        if until_s <= time.time():
            raise _RefusedError(401, "the signature has ended")


@asynccontextmanager
async def provisioning(service: Service, *, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    """The service, while the body runs.  Raises `OSError`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while await _one(service, reader, writer):
                    pass
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            pass  # whoever asks like that gets no answer
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    service.port = int(server.sockets[0].getsockname()[1])
    try:
        yield service
    finally:
        server.close()


async def _one(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request.  False: the client has gone."""
    first = (await reader.readline()).decode("latin-1")
    if not first:
        return False
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) and len(headers) < _MOST_HEADERS:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    await reader.readexactly(min(int(headers.get("content-length", "0")), _MOST_BODY))
    try:
        status, body = service.answer(method, target, headers, _common_name(writer))
    except _RefusedError as error:
        service.counts["refused"] += 1
        status, body = error.status, {"errorCode": error.status * 1000, "message": str(error)}
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    wait = f"Retry-After: {service.retry_after_s}\r\n" if status == 202 else ""
    writer.write(f"{head}{wait}\r\n".encode() + data)
    await writer.drain()
    return True


def _common_name(writer: asyncio.StreamWriter) -> str | None:
    shown = writer.get_extra_info("peercert")
    pairs = [pair for part in shown.get("subject", ()) for pair in part] if shown else []
    return next((str(value) for name, value in pairs if name == "commonName"), None)
