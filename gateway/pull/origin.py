"""Where a configuration is read: a path, or HTTPS.  Nothing is read beyond a size and a time."""

import asyncio
import http.client
import socket
import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.pull.settings import PullConfig
from gateway.tls import context
from gateway.urls import Url, parse_url

APPROVED = ".approved"
"""Behind the address of a configuration: that of the list of its approved revisions."""


class Origin(Protocol):
    """One place."""

    async def read(self) -> bytes:
        """The configuration.  Raises `Unavailable`: it cannot be read now, and `ConfigError`: it is too large."""

    async def approved(self) -> bytes:
        """The list of approved revisions; empty where there is none.  Raises `Unavailable` and `ConfigError`."""


def limited(data: bytes, most: int, where: str) -> bytes:
    """The data.  Raises `ConfigError` when there is more than `max_bytes`."""
    if len(data) > most:
        raise ConfigError([f"{where}: is larger than {most} bytes (configuration.max_bytes)"])
    return data


class PathOrigin:
    """A file, or `gateway.yaml` in a folder.  A folder may be a mounted ConfigMap, whose files change at once."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most

    async def read(self) -> bytes:
        return await in_thread(partial(self._read, self._file), "read the configuration")

    async def approved(self) -> bytes:
        file = self._file
        beside = file.with_name(file.name + APPROVED)
        return await in_thread(lambda: self._read(beside) if beside.exists() else b"", "read what is approved")

    @property
    def _file(self) -> Path:
        return self._path / "gateway.yaml" if self._path.is_dir() else self._path

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return limited(file.read(self._most + 1), self._most, str(path))
        except OSError as error:
            raise Unavailable(f"{path}: cannot be read: {error.strerror}") from error


class HttpsOrigin:
    """An HTTPS server.  Its certificate is always checked; the token is sent to it alone, so it may not redirect."""

    def __init__(self, config: PullConfig) -> None:
        self._config = config
        self._url = parse_url(config.origin, ("https",))
        self._known: dict[str, tuple[str, bytes]] = {}
        """By path: the validator of the last answer, and its content."""

    async def read(self) -> bytes:
        found = await self._get(self._url.path or "/")
        if found is None:
            raise Unavailable(f"{self._url}: the server has no such file")
        return found

    async def approved(self) -> bytes:
        return await self._get(f"{self._url.path or '/'}{APPROVED}") or b""

    async def _get(self, path: str) -> bytes | None:
        """The content; None: there is no such file.  Raises `Unavailable` and `ConfigError`."""
        config, connection = self._config, _Connection()
        work = partial(connection.ask, config, self._url, path, self._known.get(path, ("", b""))[0])
        try:
            async with asyncio.timeout(config.timeout):
                status, tag, data = await in_thread(work, "read the configuration")
        except TimeoutError as error:
            raise Unavailable(f"{self._url}: no whole answer within {config.timeout:g} s", "timeout") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self._url}: {error or type(error).__name__}") from error
        finally:
            connection.abort()
        if status == http.HTTPStatus.NOT_MODIFIED and path in self._known:
            return self._known[path][1]
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            raise Unavailable(f"{self._url}: the server answers {status}{_ADVICE.get(status // 100, '')}")
        self._known[path] = tag, limited(data, config.max_bytes, str(self._url))
        return data


_ADVICE = {3: ": write the address that it redirects to", 4: ": is the token right?"}


class _Connection:
    """One request.  `ask` blocks, in a thread; `abort` ends it from another."""

    def __init__(self) -> None:
        self._socket: ssl.SSLSocket | None = None
        self._is_over = False

    def ask(self, config: PullConfig, url: Url, path: str, tag: str) -> tuple[int, str, bytes]:
        """Status, validator and content.  Raises `OSError` and `HTTPException`, `ConfigError` for unusable files."""
        tls = config.tls
        made = context(tls) if tls is not None else ssl.create_default_context()
        headers = {"Accept": "*/*", "Connection": "close"}
        if tag:
            headers["If-None-Match"] = tag
        if config.token is not None:
            headers["Authorization"] = f"Bearer {config.token.read()}"
        plain = socket.create_connection((url.host, url.port), timeout=config.timeout)
        with plain, made.wrap_socket(plain, server_hostname=(tls and tls.server_name) or url.host) as secure:
            self._socket = secure
            if self._is_over:
                raise TimeoutError
            connection = http.client.HTTPConnection(url.host, url.port)
            connection.sock = secure
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                data = answer.read(config.max_bytes + 1) if answer.status == http.HTTPStatus.OK else b""
                return answer.status, answer.headers.get("ETag", ""), data

    def abort(self) -> None:
        self._is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
