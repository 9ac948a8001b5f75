"""Selections made at run time: joined to those of the file, kept on the disk, left out where no rule allows them."""

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.run.added import Added, joined, key_of, still_allowed
from gateway.run.added_file import load_added, save_added
from gateway.run.changes import changes_between, snapshot_of


def config(rule: dict[str, object] | None = None, most: int = 2) -> Config:
    rules = [rule or {"source": "shop", "subtree": "i=85", "subscribe": {}}]
    return Config.model_validate(
        {
            "sources": [{"name": "shop", "url": "opc.tcp://x", "insecure": True, "select": [{"node": "i=2258"}]}],
            "broker": {"url": "mqtt://x"},
            "payload": {"topic": "x"},
            "commands": {"requesters": ["mes"], "subscriptions": most, "rules": rules},
        }
    )


def added(name: str, made: Config) -> Added:
    assert made.commands is not None
    [rule] = made.commands.rules
    return Added(
        source="shop", node=f"nsu=urn:x;s={name}", name=name, requester="mes", since="2026-11-30T00:00:00Z",
        rule=key_of(rule),
    )  # fmt: skip


def test_they_join_the_end_and_more_of_them_need_no_other_connection() -> None:
    made = config()
    a, b = added("a", made), added("b", made)
    shots = {n: snapshot_of(joined(made, some), some) for n, some in enumerate(((), (a,), (a, b), (b,)))}
    assert [s.name for s in joined(made, (a, b)).sources[0].select] == [None, "a", "b"]
    for before, now, told in (
        (0, 1, "changed"),
        (1, 2, "changed"),
        (2, 3, "connected_again"),
        (1, 0, "connected_again"),
    ):
        assert changes_between(shots[before], shots[now]).told == {f"sources_{told}": ["shop"]}
    assert changes_between(shots[2], shots[2]).told == {}


def test_they_are_kept_on_the_disk_whole_or_not_at_all(tmp_path: Path) -> None:
    some = (added("a", config()), added("b", config()))
    assert load_added(tmp_path) == ()
    save_added(tmp_path, some)
    assert load_added(tmp_path) == some
    (tmp_path / "run-time" / "subscriptions.json").write_text("[{")
    with pytest.raises(ValueError, match="is damaged"):
        load_added(tmp_path)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"source": "shop", "subtree": "i=85", "subscribe": {"fastest": 5}}, ["a", "b"]),
        ({"source": "shop", "subtree": "i=86", "subscribe": {}}, []),
        ({"source": "shop", "subtree": "i=85", "exclude": ["a"], "subscribe": {}}, []),
        ({"source": "shop", "subtree": "i=85", "read": True}, []),
    ],
)
def test_what_no_rule_allows_any_more_is_left_out(rule: dict[str, object], kept: list[str]) -> None:
    some = [added(name, config()) for name in ("a", "b", "c")]
    assert [each.name for each in still_allowed(config(rule), some)] == kept
