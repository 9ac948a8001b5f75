"""The table of assertions in the reference is current."""

from tests.support.tck import DOCUMENT, EDGE, judged, named_by, reason_without, rewritten


def test_every_assertion_of_an_edge_node_is_named_by_a_test_or_has_a_reason() -> None:
    named = {*named_by(), *judged()}
    assert [each for each in EDGE if each not in named and not reason_without(each)] == []
    assert [each for each in named_by() if each not in EDGE] == []


def test_the_table_names_the_tests_that_there_are() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == rewritten(document), "python -m tests.support.tck writes it anew"
