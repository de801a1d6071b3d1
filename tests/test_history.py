"""History by month: what lies where, what goes to the archive and is seen there, what is dropped and when."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import text

from loket import blueprint, figures, history, months, publishing, retention, revisions
from loket.app import SHIPPED
from loket.database import Database
from loket.errors import Refused
from loket.feed import Feed
from loket.ids import encode_id
from loket.interests import Cursor, Interest
from loket.months import bound, month_of
from loket.retention import Keeper
from loket.settings import Months, Retention, Settings, SettingsError
from town import HANDLER, OPERATOR, opened

PROCEDURES = {
    (one.key, one.version): one for versions in publishing.load_all([SHIPPED]).values() for one in versions
}
NOW = datetime.now(UTC)
TODAY = NOW.date()
YEAR = Retention(Months(3), Months(12), Months(12))


class Past:
    """Rows as processes write them, with keys of whatever moment."""

    def __init__(self, connection: psycopg.Connection[Any], url: str) -> None:
        self.connection, self.url = connection, url
        self._numbers = iter(range(1, 1_000_000))

    def all(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, given).fetchall()

    def key(self, at: datetime) -> UUID:
        """A UUIDv7 of that moment."""
        number = next(self._numbers)
        return UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | number)

    def case(self, at: datetime, *, closed_at: datetime | None = None) -> UUID:
        """A case that began `at`, with three events."""
        case = self.key(at)
        person = self.put("person", given_name="An", family_name="Peeters", language="nl")
        asked = self.put("application", person_id=person, status="SUBMITTED", procedure_key="compost-bin")
        status = "CANCELLED" if closed_at else "AWAITING_PAYMENT"
        self.put("case", id=case, person_id=person, application_id=asked, reference=str(case), version=3,
                 procedure_key="compost-bin", stage="payment", status=status, submitted_at=at,
                 closed_at=closed_at)  # fmt: skip
        previous = None
        for version, (type_, stage, status) in enumerate(WAY, 1):
            told = {"type": type_, "stage": stage, "status": status, "previous_status": previous}
            self.event(case, person, at + timedelta(hours=version), case_version=version, **told)
            previous = status
        return case

    def event(self, case: UUID, person: UUID, at: datetime, **given: object) -> None:
        blank = {"type": "NOTE_ADDED", "stage": "payment", "status": "AWAITING_PAYMENT"}
        told = {"case_id": case, "person_id": person, "occurred_at": at, "chain": uuid4().bytes}
        self.put("event", id=self.key(at), actor_kind="SYSTEM", **(blank | told | given))

    def effect(self, at: datetime, *, case: UUID | None = None, state: str = "DONE") -> UUID:
        """An effect that was left `at`, tried once."""
        effect = self.key(at)
        done = at + timedelta(minutes=1) if state == "DONE" else None
        self.put("effect", id=effect, lane=str(effect), system="smtp", kind="MESSAGE_EMAIL", case_id=case,
                 state=state, attempts=1, created_at=at, done_at=done)  # fmt: skip
        self.put("attempt", id=self.key(at), effect_id=effect, number=1, started_at=at)
        return effect

    def put(self, table: str, **given: object) -> UUID:
        """A row, with something in each column that must have something."""
        given = {"id": uuid4(), **given}
        needed = self.all(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name = %s AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
            " AND is_generated = 'NEVER'",
            table,
        )
        blank = {"jsonb": Jsonb({}), "boolean": False, "uuid": uuid4(), "date": TODAY, "bytea": b"",
                 "text": "", "timestamp with time zone": NOW, "character varying": "ONLINE"}  # fmt: skip
        row = {name: given.get(name, blank.get(kind, 1)) for name, kind in needed} | given
        into = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        )
        self.connection.execute(into, list(row.values()))
        id_ = row["id"]
        assert isinstance(id_, UUID)
        return id_

    def lies_in(self, table: str, key: UUID) -> set[str]:
        column = months.KEYS[table]
        query = f"SELECT tableoid::regclass FROM {table} WHERE {column} = %s"  # noqa: S608  # our own words
        rows = self.all(query, key)
        return {str(row[0]) for row in rows}

    def parts(self, table: str) -> set[str]:
        rows = self.all(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", table
        )
        return {row[0] for row in rows}


WAY = (
    ("SUBMITTED", "screening", "RECEIVED"),
    ("SCREENING_STARTED", "screening", "SCREENING"),
    ("APPROVED", "decision", "APPROVED"),
)


@pytest.fixture
def past(database_url: str) -> Iterator[Past]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Past(connection, database_url)


@pytest.fixture
async def keeper(database: Database) -> Keeper:
    return Keeper(database, YEAR, PROCEDURES)


def in_months(number: int, day: int = 10) -> datetime:
    """Noon of a day, so many months from now."""
    first = month_of(TODAY, number)
    return datetime(first.year, first.month, day, 12, tzinfo=UTC)


# ── months ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_month_begins_before_every_key_of_it_and_after_every_key_before() -> None:
    first = datetime(2027, 3, 1, tzinfo=UTC)
    past = Past.__new__(Past)
    past._numbers = iter([2**60, 0])
    assert past.key(first - timedelta(milliseconds=1)) < bound(first.date()) < past.key(first)
    assert month_of(date(2026, 12, 31), 1) == date(2027, 1, 1)
    assert month_of(date(2026, 1, 31), -1) == date(2025, 12, 1)


async def test_months_are_made_ahead_by_who_migrates_and_by_who_works(past: Past, keeper: Keeper) -> None:
    for table in months.KEYS:
        ahead = {f"{table}_{month_of(TODAY, number):%Y_%m}" for number in (1, 2, 3)}
        assert past.parts(table) == ahead | {f"{table}_first", f"{table}_default"}
    await keeper.tend(in_months(2))
    await keeper.tend(in_months(2))
    for table in months.KEYS:
        assert f"{table}_{month_of(TODAY, 5):%Y_%m}" in past.parts(table)
        assert f"{table}_{month_of(TODAY, 6):%Y_%m}" not in past.parts(table)


async def test_several_who_make_months_at_once_make_each_once(past: Past, database: Database) -> None:
    await asyncio.gather(*(Keeper(database, YEAR, PROCEDURES).tend(in_months(1)) for _ in range(4)))
    await Keeper(database, YEAR, PROCEDURES).tend(in_months(1))
    assert {f"event_{month_of(TODAY, number):%Y_%m}" for number in (1, 2, 3, 4)} < past.parts("event")


def test_all_events_of_a_case_lie_in_the_month_in_which_it_began(past: Past) -> None:
    case = past.case(in_months(1))
    person = past.all('SELECT person_id FROM "case"')[0][0]
    past.event(case, person, in_months(9), case_version=4)
    assert past.lies_in("event", case) == {f"event_{month_of(TODAY, 1):%Y_%m}"}
    plan = str(past.all("EXPLAIN SELECT * FROM event WHERE case_id = %s AND case_version = 4", case))
    assert plan.count("Scan") == 1, "one month is looked at"
    with pytest.raises(psycopg.errors.UniqueViolation):
        past.event(case, person, in_months(9), case_version=4)


async def test_what_comes_for_a_month_that_nobody_made_is_kept_and_brought_to_its_place(
    past: Past, keeper: Keeper
) -> None:
    case, effect = past.case(in_months(6)), past.effect(in_months(6))
    strange = past.put("effect", id=uuid4(), kind="CONTACT_CODE", state="DONE", lane="", system="smtp")
    before = past.all("SELECT * FROM event ORDER BY seq")
    assert past.lies_in("event", case) == {"event_default"}
    assert past.lies_in("attempt", effect) == {"attempt_default"}
    await keeper.tend(in_months(3))
    assert past.lies_in("event", case) == {f"event_{month_of(TODAY, 6):%Y_%m}"}
    assert past.lies_in("effect", effect) == {f"effect_{month_of(TODAY, 6):%Y_%m}"}
    assert past.lies_in("attempt", effect) == {f"attempt_{month_of(TODAY, 6):%Y_%m}"}
    assert past.all("SELECT * FROM event ORDER BY seq") == before
    assert past.lies_in("effect", strange) == {"effect_default"}, "whose key says no month"


async def test_who_holds_a_table_is_not_waited_for_and_months_are_made_later(
    past: Past, keeper: Keeper
) -> None:
    with psycopg.connect(past.url) as busy:
        busy.execute("LOCK TABLE event_default IN SHARE MODE")
        began = time.monotonic()
        await keeper.tend(in_months(1))
        assert time.monotonic() - began < 10
        assert f"event_{month_of(TODAY, 4):%Y_%m}" not in past.parts("event")
    await keeper.tend(in_months(1))
    assert f"event_{month_of(TODAY, 4):%Y_%m}" in past.parts("event")


# ── the archive ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_month_in_which_nothing_is_open_goes_to_the_archive_and_one_with_an_open_effect_stays(
    past: Past, keeper: Keeper
) -> None:
    done, other = past.effect(in_months(1)), past.effect(in_months(2))
    open_ = past.effect(in_months(2), state="PARKED")
    everything = "SELECT * FROM everyeffect ORDER BY id", "SELECT * FROM everyattempt ORDER BY id"
    before = [past.all(one) for one in everything]
    await keeper.tend(in_months(6))
    assert past.all("SELECT id FROM effectarchive") == [(done,)]
    assert past.all("SELECT effect_id FROM attemptarchive") == [(done,)]
    assert {row[0] for row in past.all("SELECT id FROM effect")} == {other, open_}
    assert [past.all(one) for one in everything] == before
    past.connection.execute("UPDATE effect SET state = 'SKIPPED' WHERE id = %s", (open_,))
    await keeper.tend(in_months(6) + timedelta(hours=2))
    assert past.all("SELECT count(*) FROM effect") == [(0,)]
    assert [len(past.all(one)) for one in everything] == [3, 3]


async def test_what_was_done_just_now_is_not_put_away_yet(past: Past, keeper: Keeper) -> None:
    effect = past.effect(in_months(1))
    just_now = in_months(5) - timedelta(hours=20)
    past.connection.execute("UPDATE effect SET done_at = %s WHERE id = %s", (just_now, effect))
    await keeper.tend(in_months(5))
    assert past.all("SELECT id FROM effect") == [(effect,)]


CASE = """
    effects { id system kind state attemptsMade createdAt doneAt attempts { id number outcome } case { id } }
    timeline(first: 100) { nodes { id type effects { id kind state } effect { id } } }
    messages(first: 50) { nodes { id channel status } }
"""


async def test_a_case_looks_the_same_when_its_effects_lie_in_the_archive(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path) as town:
        dossier = await town.applies()
        await dossier.calm()
        before = await dossier.read(HANDLER, CASE)
        assert any(one["effects"] for one in before["timeline"]["nodes"])
        await town.sql("UPDATE effect SET state = 'SKIPPED' WHERE state <> 'DONE'")
        await town.sql("UPDATE effect SET done_at = done_at - interval '2 days'")
        before = await dossier.read(HANDLER, CASE)
        await Keeper(town.served.loket.database, YEAR, PROCEDURES).tend(in_months(5))
        rows = await town.sql(
            "SELECT (SELECT count(*) FROM effect) AS hot, count(*) AS cold FROM effectarchive"
        )
        assert (rows[0].hot, rows[0].cold) == (0, len(before["effects"]))
        assert await dossier.read(HANDLER, CASE) == before

        effect = before["effects"][0]["id"]
        refusal = await town.refused(OPERATOR, "effectRetry", id=effect)
        assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
        refusal = await town.refused(OPERATOR, "effectRetry", id=encode_id("Effect", uuid4()))
        assert refusal["code"] == "NOT_FOUND"
        sent = next(one for one in before["messages"]["nodes"] if one["status"] != "QUEUED")
        await town.does(HANDLER, "messageResend", id=sent["id"])
        again = await dossier.read(HANDLER, "effects { id }")
        assert len(again["effects"]) == len(before["effects"]) + 1


# ── what is dropped ───────────────────────────────────────────────────────────────────────────────────

HELD = {
    "an open case": 'UPDATE "case" SET closed_at = NULL WHERE id = %(case)s',
    "a case that closed lately": 'UPDATE "case" SET closed_at = %(lately)s WHERE id = %(case)s',
    "what still holds": 'UPDATE "case" SET valid_until = %(today)s WHERE id = %(case)s',
    "a deadline": "INSERT INTO timer (id, case_id, subject_id, kind, due_at, state, number)"
    " VALUES (gen_random_uuid(), %(case)s, %(case)s, 'TERM', now(), 'ARMED', 1)",
    "a task": "INSERT INTO task (id, case_id, kind, status, data, opened_at, remark)"
    " VALUES (gen_random_uuid(), %(case)s, 'ASSESS', 'OPEN', '{}', now(), '')",
    "what just happened": "UPDATE event SET occurred_at = %(lately)s WHERE case_id = %(case)s",
    "what nobody counted": "UPDATE follower SET xid = '3'",
}


async def counted(database: Database) -> None:
    follower = figures.Follower(database, PROCEDURES)
    while await follower.count():
        pass


@pytest.mark.parametrize("why", HELD)
async def test_a_month_of_events_stays_whole_for(
    why: str, past: Past, database: Database, keeper: Keeper
) -> None:
    cases = [past.case(in_months(1), closed_at=in_months(2)) for _ in range(2)]
    await counted(database)
    later = in_months(16)
    lately = later - timedelta(days=20)
    past.connection.execute(HELD[why], {"case": cases[0], "lately": lately, "today": later})
    await keeper.tend(later)
    assert past.all("SELECT count(*) FROM event") == [(6,)]
    assert past.all("SELECT floor_xid::text FROM feedepoch") == [("0",)]


async def test_what_is_past_its_time_is_dropped_and_a_cursor_from_before_it_is_refused(
    past: Past, database: Database, keeper: Keeper
) -> None:
    gone = past.case(in_months(1), closed_at=in_months(2))
    kept = past.case(in_months(2))
    past.effect(in_months(1), case=gone)
    past.effect(in_months(2), case=kept)
    await counted(database)
    places = past.all("SELECT case_id, xid::text::bigint, seq FROM event ORDER BY xid, seq")
    await keeper.tend(in_months(16))
    assert {row[0] for row in past.all("SELECT case_id FROM event")} == {kept}
    assert {row[0] for row in past.all("SELECT case_id FROM everyeffect")} == {kept}
    assert past.all("SELECT count(*) FROM everyattempt") == [(1,)]

    feed = Feed(database)
    cursors = [Cursor(1, xid, seq) for _, xid, seq in places]
    for before in cursors[:2]:
        with pytest.raises(Refused) as refusal:
            await feed.page(Interest(), before, 10)
        assert refusal.value.code == "CURSOR_EXPIRED"
    assert [one.case_id for one in await feed.page(Interest(), cursors[2], 10)] == [kept] * 3
    assert len(await feed.page(Interest(), None, 10)) == 3, "whoever begins anew has what there is"


async def test_without_a_period_nothing_is_ever_dropped(past: Past, database: Database) -> None:
    past.effect(in_months(1), case=past.case(in_months(1), closed_at=in_months(2)))
    await counted(database)
    await Keeper(database, Retention(), PROCEDURES).tend(in_months(300))
    assert past.all("SELECT count(*) FROM event") == [(3,)]
    assert past.all("SELECT count(*) FROM effectarchive") == [(1,)]


async def test_what_was_answered_is_forgotten_when_its_key_holds_no_more(
    past: Past, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ANSWERS", 2)
    for number in range(5):
        for days in (29, 31):
            past.connection.execute(
                "INSERT INTO idempotentrequest (actor, key, request_hash, created_at)"
                " VALUES (%s, %s, '', %s)",
                [f"CITIZEN:{number}", str(days), NOW - timedelta(days=days)],
            )
    await Keeper(database, Retention(), PROCEDURES).tend(NOW)
    assert past.all("SELECT key, count(*) FROM idempotentrequest GROUP BY 1") == [("29", 5)]


async def test_figures_of_what_was_dropped_are_not_forgotten_when_all_is_counted_anew(
    past: Past, database: Database, keeper: Keeper
) -> None:
    past.case(in_months(1), closed_at=in_months(2))
    past.case(in_months(1), closed_at=in_months(2))
    past.case(in_months(2))
    await counted(database)

    async def told() -> tuple[object, ...]:
        definition = PROCEDURES["compost-bin", 1]
        found = await blueprint.read(database, definition, None, None, today=in_months(9).date())
        return found.whole.cases_in, found.whole, found.phases

    before = await told()
    assert before[0] == 3
    await keeper.tend(in_months(16))
    assert past.all("SELECT count(*) FROM event") == [(3,)]
    assert await told() == before
    for _ in range(2):  # restored, and once more
        past.connection.execute("UPDATE feedepoch SET epoch = epoch + 1")
        await counted(database)
        assert await told() == before


def test_a_period_is_whole_months() -> None:
    told = Settings.from_environment(
        {"LOKET_RETENTION_EVENTS_MONTHS": "120", "LOKET_RETENTION_EFFECTS_MONTHS": ""}
    )
    assert told.retention == Retention(Months(3), Months(0), Months(120))
    for wrong in ("-1", "1.5", "1201", "jaar"):
        with pytest.raises(SettingsError, match="LOKET_RETENTION_EVENTS_MONTHS"):
            Settings.from_environment({"LOKET_RETENTION_EVENTS_MONTHS": wrong})


async def test_the_command_says_which_months_there_are(past: Past, keeper: Keeper) -> None:
    past.effect(in_months(1))
    past.case(in_months(30))
    await keeper.tend(in_months(5))
    lines = list(history.lines(past.url))
    archived = f"effect_{month_of(TODAY, 1):%Y_%m}"
    assert any(line.startswith(archived) and line.endswith("archive") for line in lines)
    assert "event_default: 3 rows of months that nobody made" in lines


# ── from before months ────────────────────────────────────────────────────────────────────────────────


def move_to(url: str, revision: str, move: Any = command.upgrade) -> None:  # noqa: ANN401  # of alembic
    with revisions._connected(url) as connection:
        move(revisions._config(connection), revision)
        connection.commit()


async def test_what_there_was_is_kept_in_order_and_old_processes_go_on(empty_database_url: str) -> None:
    move_to(empty_database_url, "0007")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        past = Past(connection, empty_database_url)
        cases = [past.case(NOW - timedelta(days=days)) for days in (800, 40, 1)]
        effects = [
            past.effect(NOW - timedelta(days=40), case=cases[1], state=state) for state in ("DONE", "PENDING")
        ]
        strange = past.put(
            "effect", id=uuid4(), kind="ACCOUNTING_ENTRY", state="PENDING", system="accounting"
        )
        rows = {
            table: f"SELECT {columns} FROM {table} ORDER BY {columns}"  # noqa: S608  # our own words
            for table, columns in (
                ("event", "seq, xid::text, id, case_id, case_version, chain"),
                ("effect", "seq, id, state"),
                ("attempt", "id, effect_id, number"),
            )
        }
        before = {table: past.all(query) for table, query in rows.items()}
        move_to(empty_database_url, "0008")
        assert {table: past.all(query) for table, query in rows.items()} == before
        assert past.lies_in("event", cases[0]) == past.lies_in("event", cases[2]) == {"event_first"}
        assert past.lies_in("effect", strange) == {"effect_default"}

        person = past.all('SELECT person_id FROM "case" WHERE id = %s', cases[0])[0][0]
        with pytest.raises(psycopg.errors.UniqueViolation):
            past.event(cases[0], person, NOW, case_version=3)
        past.event(cases[0], person, NOW, case_version=4)
        new = past.effect(NOW, case=cases[0])
        assert past.all("SELECT max(seq) FROM event")[0][0] > before["event"][-1][0]
        assert past.all("SELECT seq FROM effect WHERE id = %s", new)[0][0] > max(
            row[0] for row in before["effect"]
        )
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            past.event(uuid4(), person, NOW)
        with pytest.raises(psycopg.errors.CheckViolation):
            past.event(cases[0], person, NOW, type="NONSENSE")

        all_of_it = {table: past.all(query) for table, query in rows.items()}
        move_to(empty_database_url, "0007", command.downgrade)
        assert {table: past.all(query) for table, query in rows.items()} == all_of_it
        past.event(cases[0], person, NOW, case_version=5)
        assert past.all("SELECT max(case_version) FROM event WHERE case_id = %s", cases[0]) == [(5,)]
        revisions.upgrade(empty_database_url)
        assert past.lies_in("effect", effects[0]) == {"effect_first"}


def test_who_writes_while_months_begin_is_neither_undone_nor_held_up_for_long(
    empty_database_url: str,
) -> None:
    """A worker's order of locks, effect before event, against a revision that wants them all."""
    move_to(empty_database_url, "0007")
    with psycopg.connect(empty_database_url) as writing:
        past = Past(writing, empty_database_url)
        case = past.case(NOW)
        person = past.all('SELECT person_id FROM "case"')[0][0]
        effect = past.effect(NOW, case=case, state="PENDING")
        writing.commit()
        writing.execute("UPDATE effect SET state = 'DONE' WHERE id = %s", (effect,))
        migrating = threading.Thread(target=move_to, args=(empty_database_url, "0008"))
        migrating.start()
        time.sleep(0.7)  # it has tried to lock by now; where it has not, this tries nothing and passes
        past.event(case, person, NOW, type="EFFECT_DONE")
        writing.commit()
        migrating.join(60)
        assert not migrating.is_alive()
        assert past.all("SELECT state FROM effect") == [("DONE",)]
        assert past.all("SELECT count(*) FROM event") == [(4,)]


async def test_a_conversation_about_one_month_reads_it_alone(past: Past, database: Database) -> None:
    """However many months there are, what is asked of one case or one effect reads one of each table."""
    async with database.transaction() as session:
        for query, key in (
            ("SELECT * FROM event WHERE case_id = :key ORDER BY seq", "case"),
            ("UPDATE effect SET state = 'DONE' WHERE id = :key", "effect"),
            ("UPDATE attempt SET outcome = 'DONE' WHERE effect_id = :key AND number = 1", "effect"),
        ):
            plan = await session.scalars(text(f"EXPLAIN {query}"), {"key": past.key(in_months(2))})
            scanned = [line for line in plan if "Scan" in line and "Bitmap Index" not in line]
            assert len(scanned) == 1, (key, scanned)
