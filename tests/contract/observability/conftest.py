"""The stack that the tests of this folder look at: one for all of them, because it takes seconds to live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prometheus import Stack, stack_of

PLANT = Path(__file__).parent / "jams.yaml"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_of(tmp_path_factory.mktemp("stack"), PLANT) as made:
        yield made
