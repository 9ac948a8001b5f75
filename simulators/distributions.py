"""Distributions by name, as a plant file writes them: `2s`, or `{law: normal, mean: 2s, sd: 0.2s}`.

Each law knows its mean, its coefficient of variation and how to draw.  No draw is negative: a negative draw of the
normal law is repeated.  Times are in seconds.
"""

import math
import re
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from simulators.streams import Sampler, blocks, stream

_DURATION = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|d)\s*$")
_DURATION_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

SHORTEST_S = 0.001
Draw = Callable[[int], NDArray[np.float64]]


def duration_s(value: object) -> object:
    """`90s`, `1.5min`, `2h`, `7d` in seconds; other values unchanged.  Raises ValueError for other texts."""
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value)
    if match is None:
        raise ValueError(f"write a duration as a number and a unit: 250ms, 5s, 10min, 2h or 7d, not {value!r}")
    return float(match[1]) * _DURATION_S[match[2]]


Duration = Annotated[
    float,
    BeforeValidator(duration_s, json_schema_input_type=float | str),
    Field(ge=0, le=1e10, allow_inf_nan=False),
]
"""A time: `250ms`, `5s`, `10min`, `2h`, `7d`, or a number of seconds."""
Positive = Annotated[Duration, Field(gt=0)]


class Law(BaseModel):
    """A distribution of non-negative numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def mean_s(self) -> float:
        raise NotImplementedError

    @property
    def cv2(self) -> float:
        """Variance over mean squared."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Draw:
        raise NotImplementedError

    def sampler(self, seed: int, path: str, purpose: str) -> Sampler:
        """A sampler of this law for one component (`path`) and one purpose."""
        return blocks(self.draw(stream(seed, path, purpose)))


class Constant(Law):
    law: Literal["constant"]
    value: Duration

    @property
    def mean_s(self) -> float:
        return self.value

    @property
    def cv2(self) -> float:
        return 0.0

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: np.full(n, self.value)

    def sampler(self, seed: int, path: str, purpose: str) -> Sampler:
        value = self.value
        return lambda: value


class Exponential(Law):
    law: Literal["exponential"]
    mean: Positive

    @property
    def mean_s(self) -> float:
        return self.mean

    @property
    def cv2(self) -> float:
        return 1.0

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: rng.exponential(self.mean, n)


class Uniform(Law):
    law: Literal["uniform"]
    low: Duration
    high: Positive

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        if self.high < self.low:
            raise ValueError(f"high ({self.high:g}) must not be under low ({self.low:g})")
        return self

    @property
    def mean_s(self) -> float:
        return (self.low + self.high) / 2

    @property
    def cv2(self) -> float:
        return (self.high - self.low) ** 2 / 12 / self.mean_s**2

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: rng.uniform(self.low, self.high, n)


class Normal(Law):
    law: Literal["normal"]
    mean: Positive
    sd: Duration = Field(description="standard deviation, at most a third of the mean, since no time is negative")

    @model_validator(mode="after")
    def _narrow(self) -> "Normal":
        if self.sd > self.mean / 3:
            raise ValueError(f"sd ({self.sd:g}) must be at most a third of the mean ({self.mean:g}): use gamma instead")
        return self

    @property
    def mean_s(self) -> float:
        return self.mean

    @property
    def cv2(self) -> float:
        return (self.sd / self.mean) ** 2

    def draw(self, rng: np.random.Generator) -> Draw:
        def drawn(n: int) -> NDArray[np.float64]:
            values = rng.normal(self.mean, self.sd, n)
            while (bad := values <= 0).any():
                values[bad] = rng.normal(self.mean, self.sd, int(bad.sum()))
            return values

        return drawn


class Lognormal(Law):
    law: Literal["lognormal"]
    mean: Positive
    sd: Positive

    @property
    def mean_s(self) -> float:
        return self.mean

    @property
    def cv2(self) -> float:
        return (self.sd / self.mean) ** 2

    def draw(self, rng: np.random.Generator) -> Draw:
        spread = math.log1p(self.cv2)
        return lambda n: rng.lognormal(math.log(self.mean) - spread / 2, math.sqrt(spread), n)


class Triangular(Law):
    law: Literal["triangular"]
    low: Duration
    mode: Duration
    high: Positive

    @model_validator(mode="after")
    def _ordered(self) -> "Triangular":
        if not self.low <= self.mode <= self.high or self.low == self.high:
            raise ValueError(f"low, mode, high must rise: {self.low:g}, {self.mode:g}, {self.high:g}")
        return self

    @property
    def mean_s(self) -> float:
        return (self.low + self.mode + self.high) / 3

    @property
    def cv2(self) -> float:
        a, b, c = self.low, self.high, self.mode
        return (a * a + b * b + c * c - a * b - a * c - b * c) / 18 / self.mean_s**2

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: rng.triangular(self.low, self.mode, self.high, n)


class Gamma(Law):
    law: Literal["gamma"]
    mean: Positive
    cv: Annotated[float, Field(gt=0, le=10, description="standard deviation over mean")]

    @property
    def mean_s(self) -> float:
        return self.mean

    @property
    def cv2(self) -> float:
        return self.cv**2

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: rng.gamma(1 / self.cv2, self.mean * self.cv2, n)


class Erlang(Law):
    law: Literal["erlang"]
    mean: Positive
    phases: Annotated[int, Field(ge=1, le=1000)]

    @property
    def mean_s(self) -> float:
        return self.mean

    @property
    def cv2(self) -> float:
        return 1 / self.phases

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: rng.gamma(self.phases, self.mean / self.phases, n)


class Weibull(Law):
    law: Literal["weibull"]
    shape: Annotated[float, Field(gt=0.2, le=50, description="over 1: wears out; under 1: dies young")]
    scale: Positive

    @property
    def mean_s(self) -> float:
        return self.scale * math.gamma(1 + 1 / self.shape)

    @property
    def cv2(self) -> float:
        return math.gamma(1 + 2 / self.shape) / math.gamma(1 + 1 / self.shape) ** 2 - 1

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: self.scale * rng.weibull(self.shape, n)


class Geometric(Law):
    """`step` times 1, 2, 3 …: the number of trials up to the first success."""

    law: Literal["geometric"]
    p: Annotated[float, Field(gt=0, le=1)]
    step: Positive = 1.0

    @property
    def mean_s(self) -> float:
        return self.step / self.p

    @property
    def cv2(self) -> float:
        return 1 - self.p

    def draw(self, rng: np.random.Generator) -> Draw:
        return lambda n: self.step * rng.geometric(self.p, n).astype(np.float64)


class Empirical(Law):
    law: Literal["empirical"]
    values: Annotated[tuple[Duration, ...], Field(min_length=1, description="measured times, each as likely")]

    @property
    def mean_s(self) -> float:
        return float(np.mean(self.values))

    @property
    def cv2(self) -> float:
        return float(np.var(self.values)) / self.mean_s**2 if self.mean_s else 0.0

    def draw(self, rng: np.random.Generator) -> Draw:
        values = np.asarray(self.values, dtype=np.float64)
        return lambda n: values[rng.integers(len(values), size=n)]


def _plain(value: object) -> object:
    """`2s` or `2` becomes the constant law."""
    return value if isinstance(value, dict | Law) else {"law": "constant", "value": value}


def _law(value: object) -> str | None:
    name = value.get("law") if isinstance(value, dict) else getattr(value, "law", None)
    return name if isinstance(name, str) else None


_Written = (
    float | str | Constant | Exponential | Uniform | Normal | Lognormal | Triangular | Gamma | Erlang | Weibull
    | Geometric | Empirical
)  # fmt: skip
Distribution = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Exponential, Tag("exponential")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[Normal, Tag("normal")]
    | Annotated[Lognormal, Tag("lognormal")]
    | Annotated[Triangular, Tag("triangular")]
    | Annotated[Gamma, Tag("gamma")]
    | Annotated[Erlang, Tag("erlang")]
    | Annotated[Weibull, Tag("weibull")]
    | Annotated[Geometric, Tag("geometric")]
    | Annotated[Empirical, Tag("empirical")],
    Discriminator(_law),
    BeforeValidator(_plain, json_schema_input_type=_Written),
]
"""A distribution: `2s`, or a mapping with `law` and its parameters."""


def _lasts(law: Law) -> Law:
    if law.mean_s < SHORTEST_S:
        raise ValueError(f"must last at least 1ms on average, not {law.mean_s:g} s: simulated time would stand still")
    return law


Lasting = Annotated[Distribution, AfterValidator(_lasts)]
"""A distribution of times with a mean of at least 1 ms, so that simulated time advances."""
