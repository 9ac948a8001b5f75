"""What a reason code means: the table against the specification, and against the metrics that use it as labels."""

import pytest

from gateway.delivery import Verdict
from gateway.metrics import DROP_REASONS
from gateway.mqtt.reasons import CUT_OFF, REASONS, of_puback, of_session

PUBACK_CODES_OF_THE_SPECIFICATION = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)


@pytest.mark.parametrize("code", PUBACK_CODES_OF_THE_SPECIFICATION)
def test_every_code_of_the_specification_has_a_verdict_of_its_own(code: int) -> None:
    outcome = of_puback(code)
    assert outcome.reason != "unknown"
    assert outcome.code == code


def test_codes_below_0x80_mean_delivered_and_all_others_refused() -> None:
    for code in range(256):
        assert (of_puback(code).verdict is Verdict.DELIVERED) == (code < 0x80), hex(code)


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_a_permanent_refusal_is_a_dead_letter_with_a_counted_reason(code: int) -> None:
    outcome = of_puback(code)
    assert outcome.verdict is Verdict.NEVER
    assert outcome.reason in DROP_REASONS


def test_a_disconnect_without_reason_is_counted_under_its_own_reason() -> None:
    assert CUT_OFF.reason in REASONS
    assert CUT_OFF.reason in DROP_REASONS


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x91, 0x97, 0xEE])
def test_a_refusal_that_may_pass_keeps_the_message(code: int) -> None:
    assert of_puback(code).verdict is Verdict.LATER


def test_reasons_are_a_bounded_set_whatever_the_broker_sends() -> None:
    assert {of_puback(code, "free text of the broker").reason for code in range(256)} <= set(REASONS)


def test_the_brokers_reason_string_is_reported() -> None:
    assert "stock of quota is gone" in of_puback(0x97, "stock of quota is gone").detail
    assert "eu-2.example.com" in of_session(0x9D, "", "eu-2.example.com")


@pytest.mark.parametrize(("code", "word"), [(0x8E, "took the session over"), (0x8D, "keep-alive"), (0x8B, "shutting")])
def test_the_end_of_a_session_is_reported_in_words_and_with_its_code(code: int, word: str) -> None:
    text = of_session(code)
    assert word in text
    assert f"0x{code:02x}" in text
