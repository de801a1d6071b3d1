"""Keeping Loket running: one id from request to system, logs that name nobody, the doctor, backups."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx2
import psycopg
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from loket import backup, care, doctor, logs, probes, recovery, tracing
from loket.database import Database, conninfo
from loket.doctor import house, running, systems
from loket.doctor.findings import Finding, Health
from loket.errors import ErrorCode, Refused
from loket.feed import Feed
from loket.ids import decode_id
from loket.interests import Cursor, Interest
from loket.migrations import MigrationError
from loket.settings import Dosis, Magda, Municipality, Planning, Settings, Smtp
from loket.spans import Otlp
from loket.systems import calls
from served import listening, serving
from town import HANDLER, Town, opened

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


# --- one id ----------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing._sender = Otlp("test", exporter)
    try:
        yield exporter
    finally:
        tracing._sender = None


async def test_a_request_its_effects_and_their_calls_are_one_trace_that_names_nobody(
    town: Town, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    sender = tracing._sender
    assert isinstance(sender, Otlp)
    with caplog.at_level(logging.INFO):
        dossier = await town.applies()
        await dossier.calm()
    (submitted, *_) = await town.sql(
        "SELECT seq, trace FROM event WHERE case_id = :id ORDER BY seq",
        id=decode_id(dossier.id, "Case"),
    )
    left = await town.sql(
        "SELECT id, kind, trace FROM effect WHERE case_id = :id", id=decode_id(dossier.id, "Case")
    )
    assert {row.trace.split("-")[1] for row in left} == {submitted.trace.hex}
    sender.stop()
    ours = [one for one in spans.get_finished_spans() if one.context.trace_id == submitted.trace.int]
    names = [one.name for one in ours]
    assert "POST /graphql" in names
    assert "mutation applicationSubmit" in names
    assert "transaction" in names
    assert "carry out DOSIS_STATUS" in names
    assert "POST dosis" in names
    below = {one.context.span_id: one for one in ours}
    call = next(one for one in ours if one.name == "POST dosis")
    above = []
    while call.parent is not None and call.parent.span_id in below:
        call = below[call.parent.span_id]
        above.append(call.name)
    assert above == [
        "carry out DOSIS_STATUS", "transaction", "mutation applicationSubmit", "POST /graphql",
    ]  # fmt: skip
    told = json.dumps([json.loads(one.to_json()) for one in spans.get_finished_spans()], default=str)
    written = "\n".join(logs.JsonLine().format(one) for one in caplog.records if is_ours(one.name))
    for private in await private_of(town, decode_id(dossier.id, "Case")):
        assert private not in told
        assert private not in written
    assert submitted.trace.hex in written


async def test_staff_read_the_id_of_a_request_beside_what_came_of_it_and_the_citizen_does_not(
    town: Town,
) -> None:
    dossier = await town.applies()
    await dossier.calm()
    ((submitted,), *_) = await town.sql(
        "SELECT trace FROM event WHERE case_id = :id ORDER BY seq", id=decode_id(dossier.id, "Case")
    )
    asked = """query($reference: String!) { case(reference: $reference) {
        timeline(first: 1) { nodes { type traceId effects { traceId } } } } }"""

    async def seen(who: str) -> set[str | None]:
        found = await town.ask(who, asked, reference=dossier.reference)
        (event,) = found["case"]["timeline"]["nodes"]
        assert event["type"] == "SUBMITTED"
        assert event["effects"]
        return {event["traceId"], *(one["traceId"] for one in event["effects"])}

    assert await seen(HANDLER) == {submitted.hex}
    assert await seen(dossier.who) == {None}


def is_ours(logger: str) -> bool:
    """Not of the outside world, which runs in this process too; nor what `configure` mutes."""
    return logger.startswith("loket") and not logger.startswith("loket.sandbox")


async def private_of(town: Town, case_id: UUID) -> list[str]:
    """What is known of the applicant: whatever of it stands in a log or a trace is too much."""
    (row,) = await town.sql(
        'SELECT person.* FROM person JOIN "case" ON person_id = person.id WHERE "case".id = :id', id=case_id
    )
    said = row._mapping
    private = [said["given_name"], said["family_name"], said["email"], said["phone"]]
    sealed = said["insz_sealed"]
    private.append(town.served.loket.vault.open(sealed))
    assert sum(map(bool, private)) >= 4
    return [str(one) for one in private if one]


async def test_a_span_that_fails_tells_what_kind_of_fault_and_nothing_of_it(
    spans: InMemorySpanExporter,
) -> None:
    sender = tracing._sender
    assert isinstance(sender, Otlp)
    with pytest.raises(ValueError, match="An Peeters"), tracing.span("work"):
        raise ValueError("An Peeters, 85.07.30-033.28")
    sender.stop()
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"error.type": "ValueError"}
    assert "Peeters" not in span.to_json()


async def test_another_system_hears_the_trace_with_every_call() -> None:
    heard: list[str | None] = []

    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(Request(scope).headers.get("traceparent"))
        await Response("{}")(scope, receive, send)

    with listening() as listener:
        async with serving(other, listener), httpx2.AsyncClient(trust_env=False) as client:
            request = client.build_request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
            with tracing.within(tracing.begun(f"00-{TRACE}-00f067aa0ba902b7-01")):
                await calls.call("other", client, request)
    assert heard == [f"00-{TRACE}-00f067aa0ba902b7-01"]


def test_without_a_collector_nothing_is_loaded_and_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.WANTED_BY:
        monkeypatch.delenv(name, raising=False)
    assert not tracing.start("test")
    assert tracing.span("work") is tracing.span("other work")


# --- a worker's port -------------------------------------------------------------------------------


async def test_a_worker_says_how_it_is_on_a_port_of_its_own() -> None:
    faults = ["", "no lanes were looked at for 40 s"]

    async def wrong() -> str:
        return faults[0]

    with listening() as listener:
        port = listener.getsockname()[1]
    async with probes.answering("127.0.0.1", port, wrong), httpx2.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{port}"
        assert (await client.get(f"{url}/readyz")).status_code == 200
        faults.pop(0)
        answer = await client.get(f"{url}/readyz")
        assert (answer.status_code, answer.text) == (503, "no lanes were looked at for 40 s\n")
        assert (await client.get(f"{url}/livez")).status_code == 200


# --- backups ---------------------------------------------------------------------------------------


async def test_what_is_put_back_is_whole_and_knows_that_the_world_went_on(
    town: Town, empty_database_url: str, tmp_path: Path
) -> None:
    dossier = await town.applies()
    await dossier.calm()
    await town.sql(
        "INSERT INTO effect (id, lane, system, kind, state, attempts, last_error, created_at) VALUES"
        " (gen_random_uuid(), 'refund', 'payments', 'PAYMENT_REFUND', 'PENDING', 0, '', now()),"
        " (gen_random_uuid(), 'later', 'dosis', 'DOSIS_STATUS', 'PENDING', 0, '', now())"
    )
    before = (await town.served.loket.feed.position()).epoch
    url, file = town.served.loket.settings.database_url, tmp_path / "town.loket"
    size = await asyncio.to_thread(backup.make, url, file, tmp_path)
    await town.sql("DELETE FROM effect WHERE lane IN ('refund', 'later')")
    assert file.stat().st_size == size > 10_000
    assert file.stat().st_mode & 0o777 == 0o600
    kept = backup.last(tmp_path)
    assert kept is not None
    assert kept.file == str(file)

    restored = await asyncio.to_thread(backup.put_back, empty_database_url, file, {("VF", 2026): 4000})
    assert restored.epoch > before
    assert restored.in_doubt == 1
    assert restored.journals["VF 2026"] == 4000
    assert recovery.broken_histories(empty_database_url) == []
    secret = town.served.loket.settings.secret_key
    assert recovery.is_opened_by(empty_database_url, secret)
    assert not recovery.is_opened_by(empty_database_url, "0" * 64)
    with psycopg.connect(conninfo(url)) as old, psycopg.connect(conninfo(empty_database_url)) as new:
        for table in ("event", "effect", "person", '"case"', "message", "timer", "invoice"):
            count = f"SELECT count(*) FROM {table}"  # noqa: S608  # names of ours
            more = 2 if table == "effect" else 0
            assert new.execute(count).fetchone() == (old.execute(count).fetchone()[0] + more,)  # type: ignore[index]  # a count
        assert new.execute("SELECT bool_and(paused) FROM systemstate").fetchone() == (True,)
        assert new.execute("SELECT array_agg(DISTINCT xid::text) <@ '{1,2}' FROM event").fetchone() == (True,)
    async with Database(empty_database_url) as database:
        feed = Feed(database)
        everything = await feed.page(Interest(case_id=decode_id(dossier.id, "Case")), None, 1000)
        assert everything[0].type == "SUBMITTED"
        with pytest.raises(Refused) as refusal:
            await feed.page(Interest(), Cursor(before, 3, 1), 10)
        assert refusal.value.code is ErrorCode.CURSOR_EXPIRED

    with pytest.raises(backup.BackupError, match="not empty"):
        backup.put_back(empty_database_url, file)
    with pytest.raises(backup.BackupError, match="there already"):
        backup.make(url, file, tmp_path)


async def test_a_file_that_is_no_backup_changes_nothing(
    town: Town, empty_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "no").write_text("no backup", "utf-8")
    with pytest.raises(backup.BackupError, match="no backup"):
        await asyncio.to_thread(backup.put_back, empty_database_url, tmp_path / "no")
    url, whole = town.served.loket.settings.database_url, tmp_path / "whole"
    await asyncio.to_thread(backup.make, url, whole, tmp_path)
    (tmp_path / "half").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises((backup.BackupError, MigrationError)):
        await asyncio.to_thread(backup.put_back, empty_database_url, tmp_path / "half")
    backup._refuse_unless_empty(empty_database_url)


@pytest.mark.parametrize(
    "phone", ["+32 470 12 34 56", "0470 12 34 56", "0470123456", "02/123.45.67", "0032470123456"]
)
def test_a_phone_number_is_left_out_of_the_log(phone: str) -> None:
    stays = "took 0.1234567 s on 05/10/2025 12:10, for 0207.494.678 under 012345678901 of 01.02.2025."
    record = logging.makeLogRecord({"msg": f"called %s, {stays}", "args": (phone,)})
    assert json.loads(logs.JsonLine().format(record))["message"] == f"called {logs.LEFT_OUT}, {stays}"


def test_a_uuid_as_request_id_names_the_trace() -> None:
    assert tracing.begun(None, "4BF92F35-77b3-4da6-a3ce-929d0e0e4736").id == TRACE
    assert tracing.begun(None, TRACE).id == TRACE
    assert len(tracing.begun(None, "order 12").id) == 32


# --- the doctor ------------------------------------------------------------------------------------


def said(findings: Iterator[Finding] | list[Finding], health: Health = Health.WRONG) -> str:
    return "\n".join(f"{one.part}: {one.said} → {one.mend}" for one in findings if one.health is health)


def test_the_doctor_sees_settings_that_contradict_production(tmp_path: Path) -> None:
    settings = Settings(
        production=True, secret_key="kort", smtp=Smtp(host="", password="sandbox-x"),
        magda=Magda(url="https://magda.example", private_key_file=str(tmp_path / "none.pem")),
    )  # fmt: skip
    found = said(house.examine(settings, tmp_path, own_database=False))
    for what in (
        "LOKET_SECRET_KEY is no key", "LOKET_SMTP_PASSWORD is a secret of the sandbox",
        "LOKET_PUBLIC_URL is not https", "Lindebeke, which does not exist", "LOKET_SMTP_HOST is empty",
        "LOKET_MAGDA_PRIVATE_KEY_FILE",
    ):  # fmt: skip
        assert what in found


def test_the_doctor_finds_nothing_wrong_with_good_settings(tmp_path: Path) -> None:
    settings = Settings(secret_key="5a" * 32, municipality=replace(Municipality(), vat_number="BE0207500123"))  # type: ignore[arg-type]  # a text is what it reads
    assert said(house.examine(settings, tmp_path, own_database=True)) == ""


def test_the_doctor_says_when_there_is_no_database_and_when_it_lacks_tables(empty_database_url: str) -> None:
    assert "there is none" in said(doctor.examine(Settings(), Path("/nowhere"), None, reach=False))
    nowhere = "postgresql://loket@127.0.0.1:1/loket"
    assert "does not answer" in said(list(doctor._tables(nowhere, Path())))
    assert "loket migrate" in said(list(doctor._tables(empty_database_url, Path())))


@pytest.mark.parametrize("nowhere", ["postgresql://loket@127.0.0.1:1/loket", "postgresql://loket@[::1]:1/x"])
def test_the_doctor_says_all_there_is_to_say_of_a_database_that_is_down(nowhere: str, tmp_path: Path) -> None:
    told: list[str] = []
    settings = Settings(home=str(tmp_path), secret_key="5a" * 32)
    assert care.examine(settings, nowhere, as_json=True, reach=False, tell=told.append) == 1
    assert {one["part"] for one in json.loads(told[0])} >= {"Loket", "Settings", "Database", "Procedures"}


def test_the_doctor_sees_passwords_that_travel_in_the_open(tmp_path: Path) -> None:
    settings = Settings(
        production=True, dosis=Dosis(url="http://dosis.example"), planning=Planning(url="http://127.0.0.1:1"),
        smtp=Smtp("mail.example", username="loket", password="x"),
    )  # fmt: skip
    told = said(house.examine(settings, tmp_path, own_database=True), Health.REMARK)
    assert "LOKET_DOSIS_URL is not https" in told
    assert "LOKET_SMTP_START_TLS is off" in told
    assert "PLANNING" not in told


@pytest.mark.parametrize("url", ["https://dosis:abc/", "http://[bad", "dosis"])
def test_the_doctor_survives_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    odd = Settings(production=True, dosis=Dosis(url=url), magda=Magda(url=url))
    list(house.examine(odd, tmp_path, own_database=True))
    told = said(asyncio.run(systems.examine(odd)))
    assert "DOSIS: does not answer" in told
    assert "MAGDA: " in told


def test_the_doctor_sees_what_hangs_in_the_database(database_url: str) -> None:
    quiet = said(running.examine(database_url, Path()))
    assert "no worker runs" in quiet
    assert "Effects" not in quiet
    with psycopg.connect(conninfo(database_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO effect (id, lane, system, kind, state, attempts, last_error, created_at)"
            " SELECT gen_random_uuid(), one, 'accounting', 'PAYOUT_SEND', one, 0, '',"
            " now() - interval '2 days' FROM unnest('{PENDING,PARKED,IN_DOUBT}'::text[]) AS one"
        )
        connection.execute(
            "INSERT INTO timer (id, subject_id, kind, due_at, state, number)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 'RECONCILIATION',"
            " now() - interval '1 day', 'ARMED', 1)"
        )
        connection.execute(
            "INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)"
            " VALUES ('accounting', true, 1, 1, 0)"
        )
        connection.execute("SET application_name = 'forgotten'")
        found = list(running.examine(database_url, Path()))
    told = said(found)
    assert "1 to accounting wait, the oldest for 2 days" in told
    assert "1 to accounting parked" in told
    assert "1 to accounting in doubt" in told
    assert "should have fired 24 hours ago" in told
    assert "accounting is paused" in said(found, Health.REMARK)


async def test_the_doctor_calls_on_the_other_systems(town: Town) -> None:
    settings = town.served.loket.settings
    assert said(await systems.examine(settings)) == ""
    away = replace(
        settings, dosis=replace(settings.dosis, url="http://127.0.0.1:1"), smtp=Smtp("127.0.0.1", 1)
    )
    told = said(await systems.examine(away))
    assert "DOSIS: does not answer" in told
    assert "E-mail: 127.0.0.1:1 does not answer" in told


def test_the_doctors_exit_code_says_whether_something_is_wrong(database_url: str, tmp_path: Path) -> None:
    told: list[str] = []
    settings = Settings(home=str(tmp_path), secret_key="5a" * 32)
    assert care.examine(settings, database_url, as_json=True, reach=False, tell=told.append) == 1
    assert {one["part"] for one in json.loads(told[0])} >= {"Settings", "Database", "Processes", "Effects"}


STUBBORN = """
import asyncio
from loket import parting
from loket.commands import processes

async def stay():
    print("here", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

parting.SECONDS = 1
asyncio.run(processes.until_told(stay()))
"""


def test_a_process_that_was_told_to_end_ends_also_when_a_task_swallows_that() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
        said = process.stderr.read().decode()
    assert "Timeout (0:00:01)!" in said
    assert "in run" in said
