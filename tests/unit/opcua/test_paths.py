"""Fields and names follow from the path of a variable."""

import pytest

from gateway.opcua.space.selection import split_path

DEEP = ("line-1", "press-1", "hydraulics", "Temperature")


@pytest.mark.parametrize(
    ("levels", "fields", "name"),
    [
        (["line", "machine"], {"line": "line-1", "machine": "press-1"}, "hydraulics/Temperature"),
        (["line", "path"], {"line": "line-1", "path": "press-1/hydraulics"}, "Temperature"),
        (["path"], {"path": "line-1/press-1/hydraulics"}, "Temperature"),
        (["a", "b", "c", "path"], {"a": "line-1", "b": "press-1", "c": "hydraulics", "path": ""}, "Temperature"),
    ],
)
def test_a_path_takes_all_levels_up_to_the_variable(levels: list[str], fields: dict[str, str], name: str) -> None:
    assert split_path(DEEP, levels) == (fields, name)
