"""The selections that were made at run time, in a small file beside the outbox.  Blocks."""

import os
from collections.abc import Sequence
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from gateway.run.added import Added

FOLDER, NAME = "run-time", "subscriptions.json"
_LIST = TypeAdapter(tuple[Added, ...])


def load_added(outbox: Path) -> tuple[Added, ...]:
    """What was saved last; nothing where there is none.  Raises `ValueError` for what cannot be read, `OSError`."""
    path = outbox / FOLDER / NAME
    try:
        return _LIST.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {error.error_count()} mistakes") from error


def save_added(outbox: Path, added: Sequence[Added]) -> None:
    """On the disk when it returns, all of it or nothing.  Raises `OSError`."""
    folder = outbox / FOLDER
    folder.mkdir(exist_ok=True)
    fresh = folder / f"{NAME}.new"
    with fresh.open("wb") as file:
        file.write(orjson.dumps([each.model_dump(mode="json") for each in added], option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / NAME)
    for place in (folder, outbox):
        number = os.open(place, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
