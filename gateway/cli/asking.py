"""Asks a running gateway by the API of its live page (`docs/api.md`)."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from gateway.errors import ConfigError, Unavailable

WITHIN_S = 5.0
Json = Mapping[str, Any]


def printable(text: str) -> str:
    """A line without what would move a terminal's cursor: names and values are a server's."""
    return re.sub(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffff\U00010000-\U0010ffff]", "?", text)


class Gateway:
    """A running gateway, by its address."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        """Raises `ConfigError` when this is no address, or the file cannot be read."""
        if not url.startswith(("http://", "https://")):
            raise ConfigError([f"{url}: write an address as http://host:port"])
        self.url = url.rstrip("/")
        try:
            self._token = token_file.read_text(encoding="utf-8").strip() if token_file is not None else ""
        except OSError as error:
            raise ConfigError([f"{token_file}: cannot be read: {error.strerror}"]) from error

    def ask(self, path: str, **query: str) -> Json:
        """One answer.  Raises `Unavailable`."""
        with self._open(path, query) as answer:
            found: Json = json.load(answer)
            return found

    def follow(self, path: str, **query: str) -> Iterator[Json]:
        """The data of server-sent events as they come.  Raises `Unavailable`, also when the gateway ends."""
        with self._open(path, query) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
            raise Unavailable(f"{self.url}: the gateway has closed the connection")

    @contextmanager
    def _open(self, path: str, query: Mapping[str, str]) -> Iterator[HTTPResponse]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        asked = urlencode({name: value for name, value in query.items() if value})
        request = urllib.request.Request(f"{self.url}/api/v1/{path}{'?' if asked else ''}{asked}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
                yield cast(HTTPResponse, answer)
        except urllib.error.HTTPError as error:
            raise Unavailable(f"{self.url}: {_why(error)}") from error
        except (OSError, ValueError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Unavailable(
                f"{self.url} does not answer as a gateway: {reason}; is it running, and is http.port so?"
            ) from error


def _why(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return "looking needs the token: --token-file"
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"
