"""Queries to Prometheus over HTTP: an instant vector, a range, the values of a label."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a response: its labels, and (Unix time, value) in the order of time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The last value that is a number, or NaN."""
        return next((value for _, value in reversed(self.points) if not math.isnan(value)), math.nan)


def instant(url: str, expr: str, at_s: float | None = None) -> list[Series]:
    """The instant vector of an expression, in the order of the response.  Raises `OSError` for a wrong expression."""
    asked = {"query": expr} | ({"time": str(at_s)} if at_s is not None else {})
    return [_series(each["metric"], [each["value"]]) for each in _ask(url, "query", asked)]


def over(url: str, expr: str, since_s: float, until_s: float, step_s: float) -> list[Series]:
    """The range vector of an expression."""
    asked = {"query": expr, "start": str(since_s), "end": str(until_s), "step": str(step_s)}
    return [_series(each["metric"], each["values"]) for each in _ask(url, "query_range", asked)]


def _ask(url: str, what: str, fields: Mapping[str, str]) -> list[dict[str, list[object]]]:
    data = urllib.parse.urlencode(fields).encode()
    with _DIRECT.open(f"{url}/api/v1/{what}", data, timeout=30) as answer:
        found = json.load(answer)["data"]["result"]
    assert isinstance(found, list)
    return found


def _series(labels: object, points: object) -> Series:
    assert isinstance(labels, dict)
    assert isinstance(points, list)
    return Series(labels, tuple((float(at), float(value)) for at, value in points))
