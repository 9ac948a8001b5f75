"""The reference of clouds says what the profiles say, and names tests that exist."""

import re

from tests.support.cloud_tables import DOCUMENT, written
from tests.support.programs import ROOT


def test_the_tables_of_the_reference_are_those_of_the_profiles() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == written(text), "write them anew: python -m tests.support.cloud_tables"


def test_the_reference_names_files_that_exist() -> None:
    named = re.findall(r"`((?:config|tests)/[\w./-]+)`", DOCUMENT.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
