"""Cars: the control units that a station flashes, their software, and vehicle identification numbers (ISO 3779)."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from simulators.plant.quantities import FileSection, Name, Probability

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
"""What a VIN may contain: no I, O and Q."""
YEARS = "ABCDEFGHJKLMNPRSTVWXY123456789"
"""The code of a model year: 2010 is A, and after 30 years it begins again."""
_WORTH = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VERSION = re.compile(r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")
_TROUBLE = re.compile(r"^[PCBU][0-3][0-9A-F]{3}$")
MOST = 1_000_000
"""Cars of one model year before the serial number of the VIN begins again."""


def check_digit(vin: str) -> str:
    """The ninth character that a VIN must have (49 CFR 565.15): 0 to 9 or X."""
    rest = sum(weight * (_WORTH.get(each) or int(each)) for weight, each in zip(_WEIGHTS, vin, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def is_vin(text: str) -> bool:
    """Whether a text is a VIN with a valid check digit."""
    return len(text) == 17 and set(text) <= set(LETTERS) and check_digit(text) == text[8]


def _vin_part(length: int) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) != length or not set(value) <= set(LETTERS):
            raise ValueError(f"write {length} of the characters {LETTERS}, not {value!r}")
        return value

    return AfterValidator(check)


def _version(value: str) -> str:
    if not _VERSION.match(value):
        raise ValueError(f"write a version such as 4.2.0, not {value!r}")
    return value


def _trouble(value: str) -> str:
    if not _TROUBLE.match(value):
        raise ValueError(f"write a fault code such as U0129 (P, C, B or U, and four hexadecimal digits), not {value!r}")
    return value


Version = Annotated[str, AfterValidator(_version)]
Descriptor = Annotated[str, _vin_part(5)]


class Vin(FileSection):
    """What the vehicle identification numbers of a line are made of.  The last six digits count the cars."""

    manufacturer: Annotated[str, _vin_part(3)] = Field(description="world manufacturer identifier: positions 1 to 3")
    descriptor: Descriptor = Field(description="vehicle descriptor: positions 4 to 8")
    descriptors: dict[Name, Descriptor] = Field(default_factory=dict, description="by product, where it differs")
    year: Annotated[int, Field(ge=2010, le=2039, description="model year of the first million: position 10")] = 2026
    plant: Annotated[str, _vin_part(1)] = Field(description="plant code: position 11")

    def of(self, product: str, number: int) -> str:
        """The VIN of car `number` (from 1), with its check digit."""
        year = YEARS[(self.year - 2010 + number // MOST) % len(YEARS)]
        descriptor = self.descriptors.get(product, self.descriptor)
        vin = f"{self.manufacturer}{descriptor}0{year}{self.plant}{number % MOST:06d}"
        return f"{vin[:8]}{check_digit(vin)}{vin[9:]}"

    @property
    def patterns(self) -> set[str]:
        """What the numbers of this line begin with, without the year, which advances."""
        return {
            f"{self.manufacturer}{each}{self.plant}" for each in (self.descriptor, *self.descriptors.values())
        }  # fmt: skip


class BadVersion(FileSection):
    """A version with an error: it fails the test more often, and shows a fault code on the road."""

    version: Version
    defects: Probability = Field(0.3, description="share of the cars with it that get the defect of the control unit")
    trouble: Annotated[str, AfterValidator(_trouble)] = Field("U0100", description="fault code on the road")
    per_hour: Annotated[float, Field(ge=0, le=100, description="times per hour driven that the code is set")] = 0.5


class Ecu(FileSection):
    """A control unit that is flashed here."""

    name: Name
    version: Version = Field("1.0.0", description="the usual version; an order may name another one")
    share: Annotated[float, Field(gt=0, description="its part of the cycle time, relative to the others")] = 1.0
    fails: Annotated[float, Field(ge=0, lt=1, description="probability that one attempt fails")] = 0.0
    attempts: Annotated[int, Field(ge=1, le=20, description="after so many the car gets the defect")] = 3
    defect: Name | None = Field(None, description="one of the `defects` of this station; default: the first")
    bad: tuple[BadVersion, ...] = ()
