"""The manners of every door, and what machines ask about the process."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from loket import logs, web
from loket.app import Loket
from served import Served, listening, served, serving

WEBSITE = "https://www.lindebeke.example"


@pytest.fixture(scope="module")
async def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(module_database_url, tmp_path_factory.mktemp("loket")) as found:
        yield found


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """What was logged, as it is written."""
    return [json.loads(logs.JsonLine().format(record)) for record in caplog.records]


async def test_the_first_page_is_the_workbench(world: Served) -> None:
    answer = await world.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/graphql")
    page = await world.client.get("/graphql", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


async def test_graphql_knows_who_carries_a_token_and_refuses_a_false_one(world: Served) -> None:
    asked = {"query": "{ viewer { kind } }"}
    token = await world.token_of("an")
    good = await world.client.post("/graphql", json=asked, headers={"authorization": f"Bearer {token}"})
    assert good.json()["data"] == {"viewer": {"kind": "CITIZEN"}}
    bad = await world.client.post("/graphql", json=asked, headers={"authorization": "Bearer vals"})
    assert bad.status_code == 401


@pytest.mark.parametrize(
    "path", ["/livez", "/graphql?query={__typename}", "/nergens", "/files/x", "/auth/logout"]
)
async def test_every_answer_has_security_headers_and_a_request_id(world: Served, path: str) -> None:
    answer = await world.client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "default-src" in answer.headers["content-security-policy"]
    assert len(answer.headers["x-request-id"]) == 32
    assert "server" not in answer.headers or "uvicorn" in answer.headers["server"]


async def test_a_callers_own_request_id_is_kept_unless_it_is_nonsense(world: Served) -> None:
    for given, kept in (("walk-000042", True), ("kort", False), ("x" * 65, False), ('{"a":"b"}..', False)):
        answer = await world.client.get("/livez", headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept


async def test_the_log_names_templates_and_never_tokens(
    world: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await world.client.get("/files/geheim-token?wachtwoord=1", headers={"x-request-id": "proef-0001"})
        await world.client.get("/geheim-pad")
    told = [one for one in lines(caplog) if one["logger"] == "loket.access"]
    assert [(one["route"], one["status"]) for one in told] == [("/files/{token}", 404), ("(none)", 404)]
    assert told[0]["request"] == "proef-0001"
    ours = json.dumps([one for one in lines(caplog) if str(one["logger"]).startswith("loket")])
    assert "geheim" not in ours
    assert "wachtwoord" not in ours


def test_the_log_leaves_out_the_row_that_went_wrong() -> None:
    fault = ValueError(
        "broken\nDETAIL:  Failing row contains (An, Peeters).\n[parameters: {'name': 'An'}]\nend"
    )
    record = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", None, (ValueError, fault, None))
    line = logs.JsonLine().format(record)
    assert "Peeters" not in line
    assert "'An'" not in line
    assert "broken" in line


async def test_the_website_may_ask_from_its_own_origin_and_nobody_else(world: Served) -> None:
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "content-type"}
    good = await world.client.options("/uploads/x", headers=asked | {"origin": WEBSITE})
    assert good.status_code == 200
    assert good.headers["access-control-allow-origin"] == WEBSITE
    assert "PUT" in good.headers["access-control-allow-methods"]
    bad = await world.client.options("/uploads/x", headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in bad.headers
    read = await world.client.get("/livez", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in read.headers


async def test_ready_means_a_database_with_all_tables(world: Served, empty_database_url: str) -> None:
    assert (await world.client.get("/livez")).text == "ok\n"
    assert (await world.client.get("/readyz")).text == "ready\n"
    async with world.loket.database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'vroeger'"))
    # a process that saw the tables once goes on: an upgrade happens while the old one still serves
    assert (await world.client.get("/readyz")).status_code == 200


async def test_not_ready_without_tables(world: Served, empty_database_url: str) -> None:
    async with Loket(replace(world.loket.settings, database_url=empty_database_url)) as other:
        with listening() as listener:
            # the feed cannot run on an empty database, so only the doors are opened here
            app = Starlette(routes=web.assemble(other, []).routes)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with serving(app, listener), httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "loket migrate" in answer.text


async def test_metrics_count_what_is_open_per_system(world: Served) -> None:
    async with world.loket.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO effect (id, lane, system, kind, state, attempts, last_error, created_at)"
                " SELECT gen_random_uuid(), n::text, 'dosis', 'DOSIS_STATUS',"
                " CASE WHEN n < 3 THEN 'PENDING' ELSE 'PARKED' END, 0, '', now() - interval '90 s'"
                " FROM generate_series(1, 5) n"
            )
        )
    told = (await world.client.get("/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in told.splitlines() if not line.startswith("#"))
    assert values['loket_effects_pending{system="dosis"}'] == "2"
    assert values['loket_effects_parked{system="dosis",state="PARKED"}'] == "3"
    assert 89 < float(values['loket_effect_oldest_seconds{system="dosis"}']) < 200
    assert values["loket_subscribers"] == "0"
