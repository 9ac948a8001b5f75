"""Texts in pieces: JSON documents that are larger than what should be in memory at once."""

from collections.abc import Iterable, Iterator

import orjson

MARK = "\ue001here\ue001"
_MARKED = orjson.dumps(MARK).decode()


def text_of(value: object) -> str:
    """The JSON text of a value.  Lone surrogates, which servers may send, are replaced."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return orjson.dumps(_repaired(value), option=orjson.OPT_NON_STR_KEYS).decode()


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_repaired(key): _repaired(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_repaired(each) for each in value]
    return value


def with_pieces(value: object, pieces: Iterable[Iterator[str] | Iterable[str]]) -> Iterator[str]:
    """The JSON text of a value in which each `MARK` stands for the next of these pieces.

    As a member `{MARK: ...}` it stands for members, as an element `[MARK]` for elements.
    """
    rest = text_of(value)
    for some in pieces:
        before, _, rest = rest.partition(_MARKED)
        yield before
        yield from some
        rest = rest.removeprefix(":null")
    yield rest


def members(pairs: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    """Members of an object, each a name and the pieces of its value; `MARK: None` stands for them."""
    between = ""
    for name, value in pairs:
        yield f"{between}{text_of(name)}:"
        yield from value
        between = ","


def elements(values: Iterable[Iterable[str]]) -> Iterator[str]:
    """Elements of an array; `MARK` stands for them."""
    between = ""
    for value in values:
        yield between
        yield from value
        between = ","


def whole(value: object) -> tuple[str]:
    """The one piece of a small value."""
    return (text_of(value),)
