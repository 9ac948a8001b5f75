"""The API is described truly: a foreign validator takes the document, answers fit it, and the page of it is current."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.web.openapi import ENDPOINTS, openapi
from gateway.web.reference import reference
from tests.unit.web.test_live import Asked, asking

ROOT = Path(__file__).parents[3]


def test_a_foreign_validator_finds_nothing_wrong() -> None:
    foreign = pytest.importorskip("openapi_spec_validator")
    assert list(foreign.OpenAPIV31SpecValidator(openapi("1.0.0")).iter_errors()) == []


def test_the_page_of_the_api_is_current() -> None:
    said = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert said == reference(openapi("")), "make generated"


@pytest.mark.parametrize("path", [e.path for e in ENDPOINTS if not e.acts and not e.is_stream])
def test_answers_fit_their_description(path: str, tmp_path: Path) -> None:
    async def check(asked: Asked) -> None:
        asked.made.produce(5)
        await asked.made.everything_arrives()
        async with asked.get("/api/v1/openapi.json") as answer:
            document = json.loads(await answer.read())
        said = document["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        async with asked.get(f"/api/v1{path}") as answer:
            told = json.loads(await answer.read())
        schema = {**said, "components": document["components"]}
        assert list(Draft202012Validator(schema).iter_errors(told)) == []

    asking(tmp_path, check)
