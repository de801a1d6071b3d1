"""The manners of every door, and what machines ask about the process."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.applications import Starlette

from loket import logs, probes, web
from loket.app import Loket
from loket.database import Database
from loket.metrics import Metrics
from loket.pulse import Pulse
from loket.records import ProcessKind
from loket.settings import Settings
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


async def test_ready_means_a_database_with_all_tables(world: Served) -> None:
    assert (await world.client.get("/livez")).text == "ok\n"
    told = (await world.client.get("/readyz")).json()
    assert (told["ready"], told["database"], told["migrations"]) == (True, "ok", "ok")
    async with world.loket.database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'vroeger'"))
    # a process that saw the tables once goes on: an upgrade happens while the old one still serves
    assert (await world.client.get("/readyz")).status_code == 200


async def test_without_a_worker_it_serves_and_says_that_it_is_degraded(world: Served) -> None:
    lonely = await world.client.get("/readyz")
    assert lonely.status_code == 200
    assert (lonely.json()["workers"], len(lonely.json()["degraded"])) == (0, 1)
    worker = Pulse(world.loket.database, ProcessKind.WORKER)
    await worker.beat()
    assert (await world.client.get("/readyz")).json()["degraded"] == []
    await worker.leave()
    assert (await world.client.get("/readyz")).json()["workers"] == 0


async def test_a_worker_that_fell_silent_is_taken_for_dead(world: Served) -> None:
    worker = Pulse(world.loket.database, ProcessKind.WORKER)
    await worker.beat()
    assert (await world.client.get("/readyz")).json()["workers"] == 1
    async with world.loket.database.transaction() as session:
        await session.execute(text("UPDATE process SET beat_at = now() - interval '1 minute'"))
    assert (await world.client.get("/readyz")).json()["workers"] == 0


async def test_not_ready_without_tables(world: Served, empty_database_url: str) -> None:
    async with doors(replace(world.loket.settings, database_url=empty_database_url)) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "loket migrate" in answer.json()["migrations"]


async def test_not_ready_without_a_database() -> None:
    async with Database("postgresql://loket@127.0.0.1:1/loket") as nowhere:
        ready, told = await probes.Ready(nowhere).look()
    assert not ready
    assert told["database"] == "does not answer"


@asynccontextmanager
async def doors(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """Of a Loket whose feed and pulse do not run: they need a database."""
    async with Loket(settings) as other:
        with listening() as listener:
            app = Starlette(routes=web.assemble(other, []).routes)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with serving(app, listener), httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                yield client


def samples(told: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels."""
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(told)
        for one in family.samples
    }


def found(told: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels, whatever others they have."""
    return sum(
        value
        for (known, given), value in samples(told).items()
        if known == name and labels.items() <= dict(given).items()
    )


async def test_metrics_count_what_is_open_per_system(world: Served) -> None:
    async with world.loket.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO effect"
                " (id, lane, system, kind, state, attempts, last_error, created_at, retry_at)"
                " SELECT gen_random_uuid(), n::text, 'dosis', 'DOSIS_STATUS',"
                " CASE WHEN n < 3 THEN 'PENDING' ELSE 'PARKED' END, n - 1, '', now() - interval '90 s',"
                " CASE WHEN n = 2 THEN now() END FROM generate_series(1, 5) n"
            )
        )
    told = (await world.client.get("/metrics")).text
    assert found(told, "loket_effects_pending", system="dosis") == 2
    assert found(told, "loket_effects_retrying", system="dosis") == 1
    assert found(told, "loket_effects_parked", system="dosis", state="PARKED") == 3
    assert 89 < found(told, "loket_effect_oldest_seconds", system="dosis") < 200


async def test_one_answer_has_the_numbers_of_all_processes(world: Served) -> None:
    await world.client.post("/graphql", json={"query": "{ nothing }"})
    await world.client.post("/graphql", json={"query": "{ __typename }"})
    await world.client.get("/files/geheim-token")
    one, other = (Pulse(world.loket.database, kind) for kind in ProcessKind)
    await one.beat()
    await other.beat()
    told = await numbers(world)
    assert found(told, "loket_processes", kind="WORKER") == 1
    assert found(told, "loket_operation_seconds_count", kind="query") >= 1
    assert found(told, "loket_requests_total", route="/graphql", status="2xx") >= 1
    assert "geheim" not in told
    await other.leave()
    assert found(await numbers(world), "loket_processes", kind="WORKER") == 0
    await one.leave()


async def test_who_waits_for_a_connection_is_counted_by_what_it_is_for(world: Served) -> None:
    url = str(world.loket.settings.database_url)
    async with Database(url, writers=1, readers=1) as narrow, contextlib.AsyncExitStack() as held:
        pulse = Pulse(world.loket.database, ProcessKind.WORKER)
        waited = {one: await waits(world, pulse, one) for one in ("writers", "readers", "queries")}
        first = await held.enter_async_context(narrow.transaction())
        await first.execute(text("SELECT pg_advisory_xact_lock(1)"))
        await held.enter_async_context(narrow.reader())
        late = [asyncio.create_task(one) for one in (write(narrow), read(narrow), ask(narrow), ask(narrow))]
        while [waiting for *_, waiting in narrow.pools()] != [1, 1, 1]:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        assert [one[:3] for one in narrow.pools()] == [
            ("writers", 1, 1),
            ("readers", 1, 1),
            ("queries", 1, 1),
        ]
        await held.aclose()
        await asyncio.gather(*late)
        assert [one[2:] for one in narrow.pools()] == [(0, 0)] * 3
        for kind, before in waited.items():
            assert await waits(world, pulse, kind) >= before + 1
        assert found(await numbers(world), "loket_pool_size", pool="writers") >= 10
        await pulse.leave()


async def write(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))


async def read(database: Database) -> None:
    async with database.reader() as reader:
        await reader.execute("SELECT 1")


async def ask(database: Database) -> None:
    await database.fetch_json("SELECT to_json(pg_advisory_xact_lock(1)::text)")


async def waits(world: Served, pulse: Pulse, kind: str) -> float:
    """How often this process waited so far."""
    await pulse.beat()
    return found(await numbers(world), "loket_pool_wait_seconds_count", pool=kind)


async def numbers(world: Served) -> str:
    """Of this moment: `/metrics` says the same again for two seconds."""
    return (await Metrics(world.loket.database).text()).decode()


async def test_in_production_numbers_are_for_who_has_the_token(world: Served) -> None:
    async def asked(token: str = "", **changed: object) -> int:
        settings = replace(world.loket.settings, **changed)  # type: ignore[arg-type]  # fields by name
        parts: Any = Nameless(settings, world.loket.database)
        app = Starlette(routes=probes.routes(parts))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://loket", trust_env=False
        ) as client:
            return (await client.get("/metrics", headers=headers)).status_code

    assert await asked() == 200
    assert await asked(metrics_token="m" * 20) == 404
    assert await asked("n" * 20, metrics_token="m" * 20) == 404
    assert await asked("m" * 20, metrics_token="m" * 20) == 200
    assert await asked(production=True) == 404


@dataclass
class Nameless:
    """As much of a Loket as these doors need."""

    settings: Settings
    database: Database


async def test_numbers_take_as_many_statements_whatever_there_is_to_count(world: Served) -> None:
    async with Database(str(world.loket.settings.database_url)) as quiet:
        with quiet.count() as statements:
            await Metrics(quiet).text()
    assert len(statements) == 8


async def test_a_caller_names_the_trace_and_hears_it_again(world: Served) -> None:
    mine = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await world.client.get("/livez", headers={"traceparent": f"00-{mine}-00f067aa0ba902b7-01"})
    assert answer.headers["x-request-id"] == mine
    for nonsense in ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", "zz", f"01-{mine}-00f067aa0ba902b7-01"):
        answer = await world.client.get("/livez", headers={"traceparent": nonsense})
        assert answer.headers["x-request-id"] != mine
