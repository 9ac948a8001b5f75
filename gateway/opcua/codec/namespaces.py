"""Namespaces of one server, and how the text of a node id names them.

A URI names a namespace where exactly one has it.  Where several do, or the server gives none, or its bytes are not
UTF-8, only the index is left: `ns=3;…`, which holds as long as the server keeps its order.
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes

STANDARD = "http://opcfoundation.org/UA/"
"""The URI of namespace 0."""


def uris_of(said: object) -> tuple[str, ...]:
    """A NamespaceArray as it was read; an entry that is null is empty, and no array has no entries."""
    return tuple(str(uri or "") for uri in said) if isinstance(said, list) else ()


@lru_cache(maxsize=256)
def _names(uris: tuple[str, ...]) -> tuple[str | None, ...]:
    """By index: the URI where it names this namespace alone."""
    return tuple(uri if uri and uris.count(uri) == 1 and is_text(uri) else None for uri in uris)


def uri_at(namespace: int, uris: Sequence[str]) -> str | None:
    """The URI that names this namespace and no other; None where there is none."""
    names = _names(tuple(uris))
    return names[namespace] if namespace < len(names) else None


def index_of(uri: str, uris: Sequence[str]) -> int | None:
    """The namespace that this URI names; None where none has it, or several."""
    if uri == STANDARD:
        return 0
    names = _names(tuple(uris))
    return names.index(uri) if uri in names else None


def qualified(namespace: int, identifier: str, uris: Sequence[str]) -> str:
    """A node id with its namespace before it."""
    if namespace == 0:
        return identifier
    uri = uri_at(namespace, uris)
    return f"ns={namespace};{identifier}" if uri is None else f"nsu={escaped(uri)};{identifier}"


def escaped(uri: str) -> str:
    """Part 6, 5.3.1.10: what would end the URI is percent-encoded."""
    return uri.replace("%", "%25").replace(";", "%3B")


def unescaped(uri: str) -> str:
    return unquote(uri)


def nameless(uris: Sequence[str]) -> str:
    """Which namespaces no URI names, for people; empty where each has one of its own."""
    groups: dict[str, list[int]] = {}
    for index, (uri, name) in enumerate(zip(uris, _names(tuple(uris)), strict=True)):
        if index and name is None:
            groups.setdefault(printable(uri), []).append(index)
    told = [f"{', '.join(map(str, indexes))} ({uri or 'no URI'})" for uri, indexes in groups.items()]
    return "; ".join(told)


# -- text ------------------------------------------------------------------------------------------------------------


def is_text(text: str) -> bool:
    """Whether it is UTF-8 without a null: the library keeps other bytes as lone surrogates."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """Text as a name or for people: bytes that are not UTF-8, and nulls, are replaced."""
    if is_text(text):
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")


def string_identifier(raw: bytes) -> str:
    """`s=…`; where a configuration could not hold that, because the bytes are not UTF-8 or there is a null among them,
    `s%=…`, in which they and `%` are percent-encoded."""
    try:
        if b"\0" not in raw:
            return "s=" + raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = raw.decode("utf-8", "surrogateescape").replace("%", "%25").replace("\0", "%00")
    return "s%=" + "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)


def bytes_identifier(text: str) -> str:
    """What `s%=` stands before, as the library keeps it."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")
