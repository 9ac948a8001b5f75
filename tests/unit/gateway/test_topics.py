"""Topics: what a server calls a thing never breaks a topic, and different names stay different topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.topics import escape, expand, problems_of


def test_a_template_is_filled_in() -> None:
    assert expand("factory/{site}/{machine}", {"site": "hall 1", "machine": "press-1"}) == "factory/hall 1/press-1"


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


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a/{b}", "{b} is not a field here"),
        ("a/{tag", "a brace is left open"),
        ("a/#", "must not contain '+', '#'"),
        ("$SYS/x", "must not be empty or begin"),
        ("", "must not be empty or begin"),
        ("x" * 70_000, "at most 65535 bytes"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(template: str, said: str) -> None:
    assert any(said in problem for problem in problems_of(template, ["tag"]))
