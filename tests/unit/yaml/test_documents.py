"""Whatever stands in a YAML file: a document, or mistakes with their lines, in bounded time and memory.

The gateway and the simulators have a loader each, equal but for the package's name.  Everything here is run through
both, and with both of the parsers that the library may come with.
"""

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import gateway.errors
import gateway.yaml_positions
import simulators.errors
import simulators.yaml_positions
from gateway.yaml_words import read_word

ROOT = Path(__file__).parents[3]
Problems = Callable[[str | bytes], list[str]]


@pytest.mark.parametrize("name", ["process_signals", "urls", "yaml_words", "yaml_positions", "yaml_models"])
def test_the_two_packages_have_the_same_loader(name: str) -> None:
    ours, theirs = ((ROOT / package / f"{name}.py").read_text("utf-8") for package in ("gateway", "simulators"))
    assert ours.replace("from gateway.", "from simulators.") == theirs


@pytest.fixture(params=["gateway", "simulators"])
def loader(request: pytest.FixtureRequest) -> ModuleType:
    return gateway.yaml_positions if request.param == "gateway" else simulators.yaml_positions


@pytest.fixture(params=[yaml.SafeLoader, getattr(yaml, "CSafeLoader", None)], ids=["python", "libyaml"])
def problems(
    request: pytest.FixtureRequest, loader: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Problems:
    """What is wrong with a file, without its path; nothing when it can be read."""
    if request.param is None:
        pytest.skip("no libyaml here")
    monkeypatch.setattr(loader, "PARSER", request.param)
    path = tmp_path / "file.yaml"

    def read(text: str | bytes) -> list[str]:
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        try:
            loader.read_yaml(path)
        except (gateway.errors.ConfigError, simulators.errors.ConfigError) as error:
            return [problem.removeprefix(f"{path}:") for problem in error.problems]
        return []

    return read


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{{', '.join(f'k{n}: *{before}' for n in range(9))}, <<: *{before}}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: the file: is empty"),
        ("# nothing\n", "1: the file: is empty"),
        ("name: {{ x }}", "1: name: a mapping cannot be a key (if this is a template such as {{ … }}, fill"),
        ("a: 1\nb: {{ x }}-1", "2: b: a mapping cannot be a key"),
        ("a: 1\npassword: !secret broker", "2: password: tags (! and a word) mean nothing here"),
        ("a: !include other.yaml", "1: a: tags"),
        ("a: !vault |\n  63616e617279", "1: a: tags"),
        ("a: !!python/object:os.system ls", "1: a: tags"),
        ("a: !!binary aGk=", "1: a: tags"),
        ("a: !!timestamp 2024-01-01", "1: a: tags"),
        ("a: !!int x", "1: a: tags"),
        ("a: !!set {x, z}", "1: a: tags"),
        ("a: !list [1]", "1: a: tags"),
        ("a: 1\nb: 2024-99-99", '2: b: 2024-99-99 is a date in YAML 1.1 and a text in YAML 1.2: write "2024-99-99"'),
        ("a: 2024-01-01T99:99:99Z", "1: a: 2024-01-01T99:99:99Z is a date in YAML 1.1"),
        ("? [a, b]\n: c", "1: the file: a list cannot be a key"),
        ("a:\n  [b]: c", "2: a: a list cannot be a key"),
        ("a: &x {b: 1}\nc:\n  *x : d", "3: c: a key must be a text, not a mapping or a list: quote it"),
        ("a:\n  1: b", "2: a: a key must be a text, not a number, true, false or null: quote it"),
        ("a:\n  true: b", "2: a: a key must be a text"),
        ("a:\n  ~: b", "2: a: a key must be a text"),
        ("a: 1\n<<: [1]", "2: <<: write one << with a mapping, or with a list of mappings"),
        ("a:\n  <<: word", "2: a.<<: write one <<"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x", "4: c.<<: write one <<"),
        ("a: &a [1, *a]", "1: a[1]: an alias that stands for what it is a part of"),
        ("a: &a\n  b: *a", "2: a.b: an alias that stands for what it is a part of"),
        ("a: &a\n  <<: *a", "2: a.<<: an alias that stands for what it is a part of"),
        ("password: *hunter2", "1: password: an alias (*) whose anchor (&) is nowhere before it: quote it if it"),
        ("a: " + "[" * 20_000, "1: the file: is nested deeper than 64 levels"),
        ("- " * 5_000, "1: the file: is nested deeper than 64 levels"),
        ("\n".join(f"{' ' * n}a:" for n in range(200)), "65: the file: is nested deeper than 64 levels"),
        ("{" * 100_000, "1: the file: a mapping cannot be a key"),
        (BOMB, "6: f"),
        (MERGE_BOMB, "6: f"),
        ("a: " + "9" * 100, "1: a: 99999999999999999999… has too many digits for a number"),
        ("a: 0x" + "f" * 100, "1: a: 0xffffffffffffffffff… has too many digits for a number"),
        ('a: 1\nb: "\\0"', "2: b: holds a character that no text may hold"),
        ("a: \x00", "1: the file: is not YAML: a U+0000 stands there, which no YAML file may hold"),
        ("a: 1\nb: \x1b[0m", "2: the file: is not YAML: a U+001B stands there"),
        ("a: x\u2028b: y", "1: the file: is not YAML: a U+2028 stands there"),
        (b"a: 1\nb: \xff", "2: the file: is not UTF-8 text"),
        ("a: 1".encode("utf-16"), "1: the file: is not UTF-8 text"),
        (b"# " + b"x" * 17 * 2**20, "1: the file: is larger than 16 MiB"),
        ("a: 1\n---\nb: 2", "2: the file: a second document begins: one file holds one"),
        ("a: [1", "1: the file: is not YAML"),
        ("a: 1\nb: '1", "2: the file: is not YAML"),
        ("a: b: c", "1: the file: is not YAML"),
        ("a:\n\tb: 1", "2: the file: is not YAML"),
        ("a: @b", "1: the file: is not YAML"),
        ("a: %b", "1: the file: is not YAML"),
        ("a: `b`", "1: the file: is not YAML"),
        ("%YAML 3.0\n---\na: 1", "1: the file: is not YAML"),
        ('a: "\\q"', "1: the file: is not YAML"),
        ("a: 1\na: 2", "2: a: stands twice, first on line 1: remove one"),
        ("a:\n  b: 1\n  'b': 2", "3: a.b: stands twice, first on line 2: remove one"),
    ],
)  # fmt: skip
def test_an_unreadable_document_is_reported_with_its_line(problems: Problems, text: str | bytes, told: str) -> None:
    found = problems(text)
    assert any(problem.startswith(told) for problem in found), found
    assert "hunter2" not in " ".join(found), "it may be a password"


@pytest.mark.parametrize("escape", ["\\ud800", "\\U00110000", "\\UFFFFFFFF"])
def test_an_escape_that_is_not_a_character_is_reported(problems: Problems, escape: str) -> None:
    [told] = problems(f'a: "{escape}"')
    assert told.startswith("1: ")


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB, "[" * 250_000, "- " * 100_000], ids=["bomb", "merge", "deep", "-"])
def test_a_document_built_to_explode_takes_no_memory(problems: Problems, text: str) -> None:
    tracemalloc.start()
    try:
        assert problems(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_the_number_of_reported_mistakes_is_limited(problems: Problems) -> None:
    assert len(problems("- 010\n" * 5_000)) == 100


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("010", "010 is 8 in YAML 1.1 and 10 in YAML 1.2: write 10 or 8"),
        ("1:30", '1:30 is 90 in YAML 1.1 and a text in YAML 1.2: write "1:30" or 90'),
        ("off", 'off is false in YAML 1.1 and a text in YAML 1.2: write "off" or false'),
        ("Yes", 'Yes is true in YAML 1.1 and a text in YAML 1.2: write "Yes" or true'),
        ("NO", 'NO is false in YAML 1.1 and a text in YAML 1.2: write "NO" or false'),
        ("1_000", '1_000 is 1000 in YAML 1.1 and a text in YAML 1.2: write "1_000" or 1000'),
        ("0b11", '0b11 is 3 in YAML 1.1 and a text in YAML 1.2: write "0b11" or 3'),
        ("0o17", '0o17 is a text in YAML 1.1 and 15 in YAML 1.2: write 15 or "0o17"'),
        ("08", '08 is a text in YAML 1.1 and 8 in YAML 1.2: write 8 or "08"'),
        ("1e5", '1e5 is a text in YAML 1.1 and 100000.0 in YAML 1.2: write 100000.0 or "1e5"'),
        ("1e-9", '1e-9 is a text in YAML 1.1 and 1.0e-09 in YAML 1.2: write 1.0e-09 or "1e-9"'),
        ("12:30:45.5", '12:30:45.5 is 45045.5 in YAML 1.1 and a text in YAML 1.2: write "12:30:45.5" or 45045.5'),
        ("2026-01-01", '2026-01-01 is a date in YAML 1.1 and a text in YAML 1.2: write "2026-01-01"'),
        ("=", '= is something of its own in YAML 1.1 and a text in YAML 1.2: write "="'),
    ],
)
def test_words_with_two_meanings_are_reported_with_the_remedy(problems: Problems, word: str, told: str) -> None:
    assert problems(f"a: {word}") == [f"1: a: {told}"]
    assert problems(f"a: '{word}'") == []
    if word != "=":
        assert (
            problems(f"{word}: a") == [f"1: the file: {told}"] or "a key must be a text" in problems(f"{word}: a")[-1]
        )


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("FALSE", False), ("0", 0), ("-7", -7), ("+7", 7),
        ("0x1F", 31), ("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("1.0e+3", 1000.0), ("-.inf", -math.inf), ("a", "a"),
        ("tRue", "tRue"), ("y", "y"), ("06:00", "06:00"), ("1.2.3", "1.2.3"), ("10 s", "10 s"), ("i=85", "i=85"),
        ("192.0.2.10", "192.0.2.10"), ("-", "-"), ("1e", "1e"), ("18446744073709551615", 2**64 - 1),
    ],
)  # fmt: skip
def test_words_with_one_meaning_in_all_readers_are_accepted(word: str, value: object) -> None:
    assert read_word(word) == (value, "")
    assert yaml.safe_load(word) == value or word in ("-", "")


WORDS = st.text(alphabet="0123456789abcdefABCDEFxo_:.+-~nulltrueNFonyesTZ= ", max_size=12)


@given(WORDS)
@example("0b_")
@example("0_")
@example("0x_")
@example("_1")
@example("1_")
@example("1:5:0_0")
@example("190:20:30.15")
@example("2001-12-14t21:59:43.10-05:00")
@example("-0o7")
@example("1_0.5e+3")
def test_an_accepted_word_has_the_same_value_in_pyyaml(word: str) -> None:
    try:
        event = list(yaml.parse(f"[{word}]", Loader=yaml.SafeLoader))[3]
    except yaml.YAMLError:
        return  # not a word
    if not isinstance(event, yaml.ScalarEvent) or not event.implicit[0]:
        return
    value, problem = read_word(event.value)
    if not problem:
        [plain] = yaml.safe_load(f"[{word}]")
        assert (plain == value and type(plain) is type(value)) or (plain != plain and value != value)


def test_every_element_knows_its_line(loader: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a:\n  - &b {x: 1,\n       y: 2}\n  - <<: *b\n    z: 3\nc: *b\n", encoding="utf-8")
    document = loader.read_yaml(path)
    assert document.value == {"a": [{"x": 1, "y": 2}, {"z": 3, "x": 1, "y": 2}], "c": {"x": 1, "y": 2}}
    places = [(), ("a",), ("a", 0), ("a", 0, "y"), ("a", 1, "z"), ("a", 1, "y"), ("c",), ("c", "y"), ("c", "q", 3)]
    assert [document.line_of(place) for place in places] == [1, 1, 2, 3, 5, 3, 6, 3, 6]
    assert document.problem(("a", 1, "z"), "is wrong") == f"{path}:5: a[1].z: is wrong"


def test_own_keys_win_over_merged_ones_and_earlier_ones_over_later(loader: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {'<<': 4}\n"
    path.write_text(text, encoding="utf-8")
    value = loader.read_yaml(path).value
    assert value["c"] == {"x": 3, "y": 1, "z": 2}
    assert value["d"] == {"<<": 4}


@given(st.binary(max_size=40) | st.text(alphabet="{}[]:,-?!&*|>'\"#%@` \n\tab0<~", max_size=40).map(str.encode))
def test_any_bytes_give_a_document_or_mistakes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    told: list[str] | None = None
    try:
        gateway.yaml_positions.read_yaml(path)
    except gateway.errors.ConfigError as error:
        told = error.problems
    assert told is None or (told and all(problem.startswith(f"{path}:") for problem in told))
