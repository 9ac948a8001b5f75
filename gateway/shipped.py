"""The example configurations that come with the package, by name: `basic`, `uns`, `sparkplug`, `aws-iot-core`.

They are in `examples/` of an installed package, and in `config/` of a checkout.
"""

from pathlib import Path

from gateway.errors import ConfigError

_BESIDE = Path(__file__).parent / "examples"
EXAMPLES = _BESIDE if _BESIDE.is_dir() else Path(__file__).parents[1] / "config"
BASIC = EXAMPLES / "gateway.yaml"
"""The one of the demo."""


def examples() -> dict[str, Path]:
    """Every example, by name."""
    named = {"basic": BASIC}
    named |= {file.stem.removeprefix("gateway-"): file for file in sorted(EXAMPLES.glob("gateway-*.yaml"))}
    return named | {file.stem: file for file in sorted((EXAMPLES / "clouds").glob("*.yaml"))}


def about(example: Path) -> str:
    """What an example is, in its own words: the first sentence of its first comment."""
    with example.open(encoding="utf-8") as lines:
        return next(lines).removeprefix("#").strip()


def example_text(name: str) -> str:
    """The text of an example.  Raises `ConfigError` for an unknown name."""
    known = examples()
    if name not in known:
        raise ConfigError([f"there is no example {name!r}; examples: {', '.join(known)}"])
    return known[name].read_text(encoding="utf-8")
