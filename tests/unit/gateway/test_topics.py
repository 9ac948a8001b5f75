"""Topics: what a server calls a thing never breaks a topic, and different names stay different topics."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.topics import SHORT_BYTES, Rules, escape, expand, problems_of


def test_a_template_is_filled_in() -> None:
    assert expand("factory/{site}/{machine}", {"site": "hall 1", "machine": "press-1"}) == "factory/hall 1/press-1"


@pytest.mark.parametrize(
    ("path", "topic"),
    [("line-1/press-1", "acme/line-1/press-1/T/x"), ("", "acme/T/x"), ("a+b/{c}", "acme/a%2Bb/{c}/T/x")],
)
def test_a_path_is_as_many_levels_as_it_has(path: str, topic: str) -> None:
    assert problems_of("acme/{path}/{tag}/x", ["path", "tag"]) == []
    assert expand("acme/{path}/{tag}/x", {"path": path, "tag": "T"}) == topic


@given(st.text())
def test_an_escaped_level_is_a_legal_level(text: str) -> None:
    level = escape(text)
    assert level
    assert not set(level) & set("/+#\x00")
    level.encode()


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_stay_different(a: str, b: str) -> None:
    def encodable(text: str) -> bool:
        return not any("\ud800" <= c <= "\udfff" for c in text)

    if a != b and "_" not in (a, b) and encodable(a + b):
        assert escape(a) != escape(b)


def is_legal(topic: str) -> bool:
    """MQTT 5, 1.5.4 and 4.7: what a broker may not, or need not, take."""
    return 0 < len(topic.encode()) <= 65_535 and all(
        unicodedata.category(c) not in ("Cc", "Cs") and ord(c) & 0xFFFE != 0xFFFE and not 0xFDD0 <= ord(c) <= 0xFDEF
        for c in topic
    )


@given(st.lists(st.text(), min_size=3, max_size=3), st.integers(3 * SHORT_BYTES + 10, 200), st.sampled_from(["", ". "]))
def test_any_name_gives_a_valid_topic_of_allowed_length(names: list[str], most: int, forbidden: str) -> None:
    template, rules = "{a}/x-{b}/{c}", Rules(most, forbidden)
    assert problems_of(template, "abc", rules) == []
    topic = expand(template, dict(zip("abc", names, strict=True)), rules)
    assert is_legal(topic)
    assert len(topic.encode()) <= most
    assert topic.count("/") == 2
    assert not set(topic) & {*"+#", *forbidden}


@given(st.text("äb/ .", min_size=40), st.text("äb/ .", min_size=40))
def test_names_that_are_cut_stay_different(a: str, b: str) -> None:
    if a != b:
        assert expand("{n}", {"n": a}, Rules(20)) != expand("{n}", {"n": b}, Rules(20))


def test_only_levels_that_are_too_long_are_cut_and_they_keep_their_beginning() -> None:
    topic = expand("{site}/{tag}", {"site": "hall-1", "tag": "x" * 100}, Rules(40))
    assert topic.startswith("hall-1/xxxxxxxx")
    assert len(topic) == 40


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a\x85b", "control characters"),
        ("a\ufffeb", "control characters"),
        ("a/{b}", "{b} is not a field here"),
        ("a/x-{path}", "write it between slashes"),
        ("a/{tag", "a brace is not closed"),
        ("a/#", "must not contain '+', '#'"),
        ("$SYS/x", "must not be empty or begin"),
        ("", "must not be empty or begin"),
        ("x" * 70_000, "at most 65535 bytes"),
    ],
)
def test_mistakes_of_a_template_are_reported(template: str, said: str) -> None:
    assert any(said in problem for problem in problems_of(template, ["tag"]))


def test_characters_that_the_broker_forbids_are_refused_in_a_template() -> None:
    assert problems_of("a.b/{x}", ["x"], Rules(forbidden=". ")) == ["a topic must not contain '.' here"]
    assert problems_of("a/{x}", ["x"], Rules(forbidden=". ")) == []
