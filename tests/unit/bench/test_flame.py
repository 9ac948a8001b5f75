"""A flame graph: boxes as wide as their samples, under who called them."""

import xml.etree.ElementTree as ET

from tests.bench.chain.flame import described, svg, tree_of

LOOP = "main (/x/run.py:1);BaseEventLoop._run_once (/usr/lib/python3.11/asyncio/base_events.py:9);"
STACKS = (
    LOOP + "Handle._run (/usr/lib/python3.11/asyncio/events.py:1);read (/c/gateway/opcua/wire.py:5);crc (/c/x.py:1) 3",
    LOOP + "Handle._run (/usr/lib/python3.11/asyncio/events.py:1);read (/c/gateway/opcua/wire.py:7) 1",
    LOOP + "select (/usr/lib/python3.11/selectors.py:4) 2",
    "write (/c/site-packages/asyncua/client.py:5) 4",
)


def test_lines_of_a_function_are_one_box_and_common_frames_are_left_out() -> None:
    root = tree_of(STACKS)
    assert root.samples == 10
    assert {name: box.samples for name, box in root.inner.items()} == {
        "read (gateway/opcua/wire.py)": 4, "select (selectors.py)": 2, "write (asyncua/client.py)": 4,
    }  # fmt: skip
    assert root.inner["read (gateway/opcua/wire.py)"].inner["crc (x.py)"].samples == 3


def test_a_frame_names_its_package() -> None:
    assert described("read (/c/gateway/opcua/wire.py:5)") == ("read (gateway/opcua/wire.py)", "gateway")
    assert described("_PyEval") == ("_PyEval", "")


def test_the_flame_graph_is_as_wide_as_the_samples_and_names_functions() -> None:
    picture = ET.fromstring(svg(tree_of(STACKS), "a <title>"))
    rooted = "{http://www.w3.org/2000/svg}"
    widths = {g.findtext(f"{rooted}title"): g.find(f"{rooted}rect") for g in picture.iter(f"{rooted}g")}
    box = widths["read (gateway/opcua/wire.py): 40.0%"]
    assert box is not None
    assert float(box.attrib["width"]) == 1200 * 0.4 - 0.5


def test_no_samples_are_no_error() -> None:
    ET.fromstring(svg(tree_of(()), "nothing"))
