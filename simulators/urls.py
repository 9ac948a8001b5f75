"""Addresses: one strict parser for all of them (RFC 3986).  Its messages never repeat a possible secret.

A user may put a password into an address, so a user name, a query and a fragment are mistakes, and a message names the
part, not its text.

The file exists twice, like `yaml_positions`.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PORTS: Mapping[str, int] = {
    "opc.tcp": 4840,
    "mqtt": 1883,
    "mqtts": 8883,
    "ws": 80,
    "wss": 443,
    "http": 80,
    "https": 443,
    "nats": 4222,
    "tls": 4222,
    "nats-kv": 4222,
    "kafka": 9092,
    "kafkas": 9093,
}
"""The supported schemes, and their default ports."""
_WITHOUT_PATH = ("mqtt", "mqtts", "nats", "tls", "kafka", "kafkas")

_WHOLE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*)?", re.ASCII)
_PLACE = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(?::(.*))?")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2}|[^\W\x00-\x7f])*)*")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HARMLESS = re.compile(r"[a-z]{1,10}(://[A-Za-z0-9.-]*(:[0-9]{1,5})?/?)?")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an address."""

    scheme: str
    host: str
    """A name in ASCII, or an IP address without brackets."""
    port: int
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether the host is this computer."""
        return self.host == "localhost" or (_is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback)


def parse_url(text: str, schemes: Sequence[str], lowest_port: int = 1) -> Url:
    """Parse an address with one of these schemes.  Raises `ValueError`, with the remedy, unless it is unambiguous."""
    if "@" in text:
        raise ValueError("keep user name and password out of the address: use username and password (%40 is an @)")
    if "${" in text or "{{" in text:
        raise ValueError("variables are not replaced here: write the address itself")
    if "?" in text or "#" in text:
        raise ValueError("remove the ? or # and everything behind it from the address: it may be a secret")
    if not text.isprintable() or " " in text:
        raise ValueError("an address must not contain spaces or line breaks")
    form = " or ".join(f"{scheme}://host:port" for scheme in schemes)
    whole = _WHOLE.fullmatch(text)
    scheme = whole[1].lower() if whole else ""
    place = _PLACE.fullmatch(whole[2]) if whole else None
    if whole is None or place is None or scheme not in schemes or not place[1]:
        shown = f"{text}: " if _HARMLESS.fullmatch(text) else ""
        raise ValueError(f"{shown}write an address as {form}")
    host = checked_host(place[1])
    port = PORTS[scheme] if place[2] is None else _port(place[2], lowest_port)
    path = whole[3] or ""
    if path == "/" and scheme in _WITHOUT_PATH:
        path = ""
    if path and scheme in _WITHOUT_PATH:
        raise ValueError(f"{scheme}:// has no path: remove everything behind the port")
    if not _PATH.fullmatch(path):
        raise ValueError("the path contains a character that is not allowed: write it as % and two hexadecimal digits")
    return Url(scheme, host, port, path)


def checked_host(text: str) -> str:
    """A host name, in ASCII (RFC 1123, and `_`), or an IP address.  Raises `ValueError`."""
    if text.startswith("["):
        inner, _, zone = text[1:-1].partition("%")
        if not _is_ip(inner) or ":" not in inner or ("%" in text and not _ZONE.fullmatch(zone)):
            raise ValueError("the text in [ ] is not an IPv6 address")
        return text[1:-1]
    if _is_ip(text):
        return text
    try:
        name = text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("the host is not a valid name") from error
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise ValueError("the host has an empty part before or between its dots")
    if len(name) > 253 or not all(_NAME.fullmatch(label) for label in labels):
        raise ValueError("the host is not a valid name: use letters, digits and -, at most 63 between dots")
    if labels[-1].isdigit():
        raise ValueError("the host looks like an IP address but is not a valid one")
    return name


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(text: str, lowest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= 65_535):
        raise ValueError(f"a port is a number from {lowest} to 65535")
    return int(text)
