"""The workbench as a browser gets it: from this server alone, whole, and with examples that are valid."""

import json
import re
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from graphql import (
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.api import playground
from loket.app import SHIPPED, load_procedures
from loket.forms import validate_answers
from loket.settings import Settings
from served import listening, serving

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ROOT = Path(__file__).parents[1]
BUNDLE = Path(playground.__file__).parent / "graphiql"
ASSETS = re.compile(r"/graphiql/assets/[\w.-]+")
NAMED = re.compile(r"(?:\./|assets/)([\w.-]+-[\w-]{8}\.(?:js|css|ttf|woff2|svg))\b")
"""How the bundle's files name each other."""
EXAMPLES: list[dict[str, Any]] = json.loads((SHIPPED / "examples.json").read_text())


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async def endpoint(request: Request) -> Response:
        return playground.page() if playground.wants_page(request) else JSONResponse({"data": None})

    app = Starlette(routes=[Route("/graphql", endpoint), *playground.routes()])
    with listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serving(app, listener), httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            yield client


async def test_a_browser_gets_a_page_that_may_fetch_from_nowhere_else(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/graphql", headers=BROWSER)
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert "<script>" not in answer.text
    assert re.findall(r"(?:src|href)=\"(?!/graphiql/)", answer.text) == []


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/graphql", "application/graphql-response+json"),
        ("/graphql", "text/event-stream"),
        ("/graphql?query={viewer{kind}}", BROWSER["Accept"]),
    ],
)
async def test_a_client_with_a_query_gets_no_page(client: httpx2.AsyncClient, path: str, accept: str) -> None:
    answer = await client.get(path, headers={"Accept": accept})
    assert answer.json() == {"data": None}


async def test_every_file_that_the_bundle_names_is_there(client: httpx2.AsyncClient) -> None:
    waiting = ASSETS.findall((await client.get("/graphql", headers=BROWSER)).text)
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        if path not in found:
            answer = await client.get(path)
            assert answer.status_code == 200, path
            found[path] = answer.text
            waiting += [f"/graphiql/assets/{name}" for name in NAMED.findall(answer.text)]
    assert {path.rpartition("/")[2] for path in found} == {
        file.name.removesuffix(".gz") for file in (BUNDLE / "assets").iterdir()
    }


async def test_files_are_kept_by_a_browser_and_come_compressed_or_not(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/graphql", headers=BROWSER)).text
    script = next(name for name in ASSETS.findall(page) if name.endswith(".js"))
    small = await client.get(script, headers={"Accept-Encoding": "gzip"})
    plain = await client.get(script, headers={"Accept-Encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert small.content == plain.content
    assert int(small.headers["content-length"]) < len(plain.content) / 2
    for answer in (small, plain):
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "Accept-Encoding"


async def test_no_other_file_can_be_asked_for(client: httpx2.AsyncClient) -> None:
    for name in ("..%2f..%2fplayground.py", "nothing.js", "%2e%2e"):
        assert (await client.get(f"/graphiql/assets/{name}")).status_code == 404


async def test_the_workbench_reads_its_examples_here(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/graphiql/examples.json")
    assert answer.json() == EXAMPLES
    assert answer.headers["content-type"] == "application/json"


@cache
def published() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text("utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_an_example_is_valid_in_the_schema_and_brings_its_variables(example: dict[str, Any]) -> None:
    document = parse(example["query"])
    assert validate(published(), document) == []
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    asked = [variable for one in operations for variable in one.variable_definitions or ()]
    given = example.get("variables", {})
    assert set(given) <= {one.variable.name.value for one in asked}
    found = get_variable_values(published(), asked, given)
    assert not isinstance(found, list), found


@pytest.mark.parametrize(
    ("operation", "procedure"), [("BinSetAnswers", "compost-bin"), ("PremiumSetAnswers", "social-premium")]
)
def test_an_example_fills_in_all_that_the_government_does_not_know(operation: str, procedure: str) -> None:
    [example] = [one for one in EXAMPLES if f"mutation {operation}(" in one["query"]]
    definition = load_procedures(Settings())[procedure, 1]
    faults = validate_answers(definition, example["variables"]["answers"], "nl")
    assert [fault.path for fault in faults] == [["applicant"]]
