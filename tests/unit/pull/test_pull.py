"""A pulled configuration: what is taken, by whom first, and what is kept."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config.broker import PRESENCE_TOPIC
from gateway.errors import ConfigError, Unavailable
from gateway.fleet import Approval, Fleet, Watched
from gateway.payload.health import Health
from gateway.payload.presence import GatewayPresence
from gateway.pull import Kept, Puller, PullFile, load_pull, origin_of, revision_of

A, B = b"name: a\n", b"name: b\n"


class Somewhere:
    """An origin with one content, and a list of approved revisions."""

    def __init__(self, content: bytes = A) -> None:
        self.content = content
        self.list = b""

    async def read(self) -> bytes:
        return self.content

    async def approved(self) -> bytes:
        return self.list


def puller_of(origin: Somewhere, folder: Path, name: str = "plant-1", canary: tuple[str, ...] = ()) -> Puller:
    file = PullFile.model_validate({"name": name, "configuration": {"from": "/x", "canary": canary}})
    return Puller(file, origin, Kept(folder))


def test_what_was_taken_is_kept_and_offered_once(tmp_path: Path) -> None:
    async def body() -> None:
        origin = Somewhere()
        puller = puller_of(origin, tmp_path)
        assert await puller.look() == revision_of(A)
        assert puller.kept.present.read_bytes() == A
        await puller.took(revision_of(A))
        assert (puller.told, await puller.look()) == ((revision_of(A), "taken"), "")
        origin.content = B
        again = puller_of(origin, tmp_path)
        assert again.kept.good.read_bytes() == A
        assert await again.look() == revision_of(B)

    asyncio.run(body())


def test_a_refused_one_is_not_offered_again_and_is_over_when_the_good_one_is_back(tmp_path: Path) -> None:
    async def body() -> None:
        origin = Somewhere()
        puller = puller_of(origin, tmp_path)
        await puller.look()
        await puller.took(revision_of(A))
        origin.content = B
        assert await puller.look() == revision_of(B)
        await puller.refused(revision_of(B))
        assert (puller.told, await puller.look()) == ((revision_of(B), "refused"), "")
        assert (puller.kept.present.read_bytes(), puller.kept.refused.read_bytes()) == (A, B)
        origin.content = A
        assert await puller.look() == revision_of(A)  # so that the gateway forgets the refusal
        await puller.took(revision_of(A))
        assert (puller.told, await puller.look()) == ((revision_of(A), "taken"), "")

    asyncio.run(body())


def test_a_canary_goes_first_and_the_others_wait_for_the_list(tmp_path: Path) -> None:
    async def body() -> None:
        origin = Somewhere()
        first = puller_of(origin, tmp_path / "7", "plant-7", ("plant-7",))
        other = puller_of(origin, tmp_path / "1", "plant-1", ("plant-7",))
        assert (await first.look(), await other.look()) == (revision_of(A), "")
        assert other.told == (revision_of(A), "waits")
        origin.list = f"{revision_of(B)} of before\n\n{revision_of(A)} taken by plant-7\n".encode()
        assert await other.look() == revision_of(A)

    asyncio.run(body())


def test_a_path_is_a_file_or_a_folder_and_is_read_within_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"

    async def read(where: Path) -> bytes:
        settings = {"configuration": {"from": str(where), "max_bytes": 20}}
        return await origin_of(PullFile.model_validate(settings).configuration).read()

    file.write_bytes(A)
    assert asyncio.run(read(tmp_path)) == asyncio.run(read(file)) == A
    file.write_bytes(A * 10)
    with pytest.raises(ConfigError, match="larger than 20 bytes"):
        asyncio.run(read(file))
    file.unlink()
    with pytest.raises(Unavailable, match="No such file"):
        asyncio.run(read(file))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("configuration: {from: http://hq/x}", "https://host:port or nats-kv"),
        ("configuration: {from: https://user:secret@hq/x}", "keep user name and password out"),
        ("configuration: {from: nats-kv://hq/bucket}", "nats-kv://host:4222/bucket/key"),
        ("configuration: {every: 1min}", "from"),
        ('{"configuration": {"from": "/x", "evry": 1}}', "evry"),
    ],
)
def test_mistakes_in_the_file_are_told_without_secrets(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "pull.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        load_pull(file)
    assert problem in str(told.value)
    assert "secret" not in str(told.value)


def test_a_configuration_is_no_pull_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("name: edge\nsources: []\n# configuration: of a comment\n")
    assert load_pull(file) is None
    assert load_pull(tmp_path / "nowhere.yaml") is None


def test_a_revision_is_approved_once_all_canaries_were_well_with_it_for_a_while(tmp_path: Path) -> None:
    listed = tmp_path / "gateway.yaml.approved"
    fleet, approval = Fleet(Watched(PRESENCE_TOPIC)), Approval(listed, ("a", "b"), 60.0)
    fine = Health((1, 1), (1, 1), pulled=("sha256:1", "taken"))

    def at(now_s: float, **canaries: Health) -> str:
        for name, health in canaries.items():
            told = GatewayPresence(
                f"gateways/{name}/presence", 30.0, name, "1", str, health=lambda health=health: health,  # type: ignore[misc]  # bound now
                now=lambda: datetime.fromtimestamp(now_s, UTC),
            )  # fmt: skip
            fleet.see(told.topic, bytes(told.birth(datetime.now(UTC)).payload), retained=False, now_s=now_s)
        return approval.look(fleet, now_s)

    assert at(0, a=fine) == ""
    assert at(1, b=replace(fine, pulled=("sha256:0", "taken"))) == ""
    assert at(2, b=fine) == ""
    assert at(40, a=replace(fine, sources=(0, 1)), b=fine) == ""
    assert at(61, a=fine, b=fine) == ""  # the time begins again
    assert at(120, a=fine, b=fine) == ""
    assert at(122, a=fine, b=fine) == "sha256:1"
    assert at(130, a=fine, b=fine) == ""
    assert listed.read_text() == "sha256:1 taken by a, b\n"
    assert at(200, a=replace(fine, pulled=("sha256:2", "refused")), b=fine) == ""
