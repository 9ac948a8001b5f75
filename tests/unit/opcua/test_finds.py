"""The fuzz targets themselves, on their seeds and on every input that once found something."""

import pytest

from tests.fuzz.targets import TARGETS

FINDS = {
    "mqtt": [
        # a reason string that is not UTF-8: the codec panicked
        "0020130000101f000568656c6c90de001427000003e8e00a89746572",
    ],
    "answers": [
        # an array of Nulls in the header of an answer
        "00000000000100860300000001000000004e02000000000000000000000800000000000003000000000000ffff0000008603"
        "00000001000000004e02000000000000000000000000000000000800000000000003000000000000ffff0000008603000000"
        "01000000004e0200000000000000000000080000000000000300000000000800000000000003000000000000ffffff",
        # a text of less than nothing: the library went backwards, for ever
        "00000600000000860300000001000000004e0200000000000000000000080003000000000000fff800000071fcfffffffeff"
        "ff00004e020000010000000000000000000600000000000000ff000000000800000000000003000000cececeffffff",
    ],
}


@pytest.mark.parametrize("name", TARGETS)
def test_fuzzing_seeds_raise_only_declared_errors(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize(("name", "octets"), [(name, one) for name, some in FINDS.items() for one in some])
def test_inputs_found_by_fuzzing_raise_only_declared_errors(name: str, octets: str) -> None:
    TARGETS[name].run(bytes.fromhex(octets))
