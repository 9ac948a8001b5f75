"""Finds a profile: one that comes with the gateway by its name, or a user's own by its path."""

from functools import cache
from pathlib import Path

from pydantic import model_validator

from gateway.errors import ConfigError
from gateway.profiles.table import LIMITS, Profile
from gateway.yaml_models import validated
from gateway.yaml_positions import Problem, read_yaml

HERE = Path(__file__).parent


@cache
def names_of_profiles() -> tuple[str, ...]:
    """The profiles that come with the gateway."""
    return tuple(sorted(path.stem for path in HERE.glob("*.yaml")))


def profile_named(name: str) -> Profile:
    """The profile with this name, or in the file with this path (it ends in `.yaml`).  Raises `ConfigError`.

    A file may begin with `extends: NAME`: then it has only what is different.
    """
    if name in names_of_profiles():
        return _own(name)
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name))
    raise ConfigError([f"there is no profile {name!r}: there are {', '.join(names_of_profiles())}, or a file.yaml"])


@cache
def _own(name: str) -> Profile:
    return _read(HERE / f"{name}.yaml")


class _File(Profile):
    """A profile as it stands in a file."""

    @model_validator(mode="before")
    @classmethod
    def _extended(cls, given: object) -> object:
        if not isinstance(given, dict) or "extends" not in given:
            return given
        base, own = given["extends"], {key: value for key, value in given.items() if key != "extends"}
        if base not in names_of_profiles():
            raise ValueError(f"extends: there is no profile {base!r}: there are {', '.join(names_of_profiles())}")
        return _merged(_own(str(base)).model_dump(), own)


def _read(path: Path) -> Profile:
    return validated(_File, read_yaml(path), _problems)


def _merged(base: object, own: object) -> object:
    if isinstance(base, dict) and isinstance(own, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in own.items()}}
    return own


def _problems(profile: Profile) -> list[Problem]:
    found: list[Problem] = []
    for name, limit in profile.limits.items():
        if name not in LIMITS:
            found.append((("limits", name), f"no such limit: allowed are {', '.join(LIMITS)}"))
        if limit.source not in profile.sources:
            found.append((("limits", name, "source"), f"{limit.source!r} is none of `sources`"))
    if profile.price is not None and profile.price.source not in profile.sources:
        found.append((("price", "source"), f"{profile.price.source!r} is none of `sources`"))
    return found
