"""The live blueprint: what is counted and when, who sees it, and what citizens say of how it went."""

import asyncio
import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx2
import psycopg
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from ruamel.yaml import YAML
from sqlalchemy import text
from uuid_utils.compat import uuid7

from loket import blueprint, figures, publishing, revisions
from loket.app import SHIPPED
from loket.database import Database
from loket.definition import Definition
from loket.figures import BLOCKS, Follower, blocks_between, blocks_of, fold
from loket.happenings import Read
from loket.histogram import BUCKETS, DIGITS, bucket_of, counts_of, of_one, quantile, seconds_of
from loket.lifecycle import ENTRY, FINAL, Action, EventType, Stage, Status, case_machine
from loket.phases import WHOLE, Happened, Visit, course_of
from loket.publications import Publications
from loket.records import EffectKind
from loket.terms import BRUSSELS
from test_identity import sign_in
from town import DRIVER, HANDLER, Dossier, Json, Town, opened, until

PROCEDURES = {
    (one.key, one.version): one for versions in publishing.load_all([SHIPPED]).values() for one in versions
}
BIN, PREMIUM = PROCEDURES["compost-bin", 1], PROCEDURES["social-premium", 1]
BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
E, S = EventType, Status


# ── phases of one case ────────────────────────────────────────────────────────────────────────────────


def happened(*told: tuple[EventType, Stage, Status]) -> list[Happened]:
    """Events an hour apart, each with the status that the one before left."""
    before: Status | None = None
    made = []
    for number, (type_, stage, status) in enumerate(told):
        made.append(Happened(type_, stage, status, before, BEGAN + timedelta(hours=number)))
        before = status
    return made


def places(definition: Definition, events: Sequence[Happened]) -> list[str | None]:
    """Where the case is after each event."""
    return [course_of(definition, BEGAN, events[: number + 1]).place for number, _ in enumerate(events)]


def test_a_case_goes_through_the_phases_that_list_its_events_or_have_its_stage() -> None:
    events = happened(
        (E.SUBMITTED, Stage.SCREENING, S.RECEIVED),
        (E.SCREENING_STARTED, Stage.SCREENING, S.SCREENING),
        (E.ADMISSIBLE, Stage.ASSESSMENT, S.ASSESSMENT),
        (E.ADVICE_REQUESTED, Stage.ASSESSMENT, S.AWAITING_ADVICE),
        (E.NOTE_ADDED, Stage.ASSESSMENT, S.AWAITING_ADVICE),
        (E.ADVICE_COMPLETE, Stage.ASSESSMENT, S.ASSESSMENT),
        (E.DECISION_PREPARED, Stage.DECISION, S.AWAITING_DECISION),
        (E.ADVICE_GIVEN, Stage.DECISION, S.AWAITING_DECISION),
        (E.DECISION_SIGNED, Stage.DECISION, S.AWAITING_DECISION),
        (E.APPROVED, Stage.DECISION, S.APPROVED),
        (E.PAYOUT_DUE, Stage.PAYOUT, S.AWAITING_PAYOUT),
        (E.LETTER_SENT, Stage.PAYOUT, S.AWAITING_PAYOUT),
        (E.PAID_OUT, Stage.PAYOUT, S.COMPLETED),
        (E.LETTER_SENT, Stage.PAYOUT, S.COMPLETED),
    )
    assert places(PREMIUM, events) == [
        None, "handling", "handling", "advice", "advice", "advice", "decision", "decision",
        "notification", "notification", "payout", "payout", None, None,
    ]  # fmt: skip


def test_an_end_leaves_the_phase_where_it_stood_and_a_reopening_comes_back_in() -> None:
    events = happened(
        (E.SUBMITTED, Stage.SCREENING, S.RECEIVED),
        (E.SCREENING_STARTED, Stage.SCREENING, S.SCREENING),
        (E.ADMISSIBLE, Stage.ASSESSMENT, S.ASSESSMENT),
        (E.ADVICE_REQUESTED, Stage.ASSESSMENT, S.AWAITING_ADVICE),
        (E.WITHDRAWN, Stage.ASSESSMENT, S.WITHDRAWN),
        (E.REOPENED, Stage.SCREENING, S.SCREENING),
        (E.INADMISSIBLE, Stage.SCREENING, S.INADMISSIBLE),
    )
    course = course_of(PREMIUM, BEGAN - timedelta(minutes=20), events)
    assert places(PREMIUM, events)[3:] == ["advice", None, "handling", None]
    at = [one.at for one in events]
    assert course.visits == {
        "application": Visit(BEGAN - timedelta(minutes=20), at[0]),
        "advice": Visit(at[3], at[4]),
        "handling": Visit(at[5], at[6]),
        WHOLE: Visit(at[5], at[6]),
    }


# ── histories of many cases ───────────────────────────────────────────────────────────────────────────


@st.composite
def histories(draw: st.DrawFn) -> list[Read]:
    """Events of some cases of one procedure, each a way through its table, as the feed would mingle them."""
    definition = draw(st.sampled_from([BIN, PREMIUM]))
    courses = [draw(_way(definition)) for _ in range(draw(st.integers(1, 4)))]
    mingled: list[Read] = []
    while any(courses):
        mine = draw(st.sampled_from([one for one in courses if one]))
        mingled.append(mine.pop(0))
    return mingled


@st.composite
def _way(draw: st.DrawFn, definition: Definition) -> list[Read]:
    table = case_machine(definition.stages)
    case, now = uuid7(), BEGAN + timedelta(days=draw(st.integers(0, 300)))
    started = now - timedelta(seconds=draw(st.integers(0, 100_000)))
    state, made = (definition.stages[0], S.RECEIVED), []

    def write(type_: EventType, previous: Status | None, **more: object) -> None:
        event = Happened(type_, *state, previous, now)
        staff = draw(st.booleans())
        one = Read(0, 0, case, (definition.key, definition.version), started, event, by_staff=staff)
        made.append(replace(one, **more))  # type: ignore[arg-type]  # fields by name

    write(E.SUBMITTED, None)
    for _ in range(draw(st.integers(0, 14))):
        now += timedelta(seconds=draw(st.integers(0, 400_000)))
        if draw(st.booleans()):
            kind = draw(st.sampled_from(list(EffectKind)))
            cause = draw(st.sampled_from([None, (E.SUBMITTED, state[0]), (E.APPROVED, state[0])]))
            what = draw(st.sampled_from([E.EFFECT_DONE, E.EFFECT_RETRIED, E.EFFECT_PARKED, E.EFFECT_SKIPPED]))
            write(what, state[1], kind=kind, cause=cause, on_paper=draw(st.booleans()))
            continue
        step = draw(st.sampled_from([one for one in table.steps if one.state == state]))
        before, state = state, step.to
        if step.action is Action.REOPEN:
            again = draw(st.sampled_from(definition.stages))
            state = again, ENTRY[again][0]
        write(step.event or E.STAGE_PASSED, before[1])
        if state[0] != before[0]:
            write(ENTRY[state[0]][1], state[1])
    return made


Total = Counter[tuple[str, str, date, str]]
"""By procedure, phase, day, and figure."""


def folded(history: Sequence[Read], cuts: Sequence[int]) -> tuple[Total, dict[UUID, dict[str, Visit]]]:
    """What batches that end at `cuts` count together, and the visits after the last."""
    total: Total = Counter()
    visits: dict[UUID, dict[str, Visit]] = {}
    edges = [0, *sorted(cuts), len(history)]
    for begin, end in pairwise(edges):
        counted = fold(PROCEDURES, history[begin:end], visits)
        for key, numbers in counted.figures.items():
            total.update({(*key, name): number for name, number in numbers.items()})
        for (case, phase), visit in counted.visits.items():
            visits.setdefault(case, {})[phase] = visit
    return total, visits


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_a_history_counted_in_any_batches_is_counted_the_same(
    history: list[Read], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(history)), max_size=6))
    assert folded(history, cuts) == folded(history, [])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_figures_add_up_to_what_the_events_say(history: list[Read]) -> None:
    total, visits = folded(history, [])
    whole = Counter[str]()
    present, took = Counter[str](), Counter[str]()
    for (_, phase, _, what), number in total.items():
        if what == figures.LEAD_TIMES:
            took[phase] -= sum(counts_of(str(number)))
            continue
        whole[what] += number if phase == WHOLE else 0
        present[phase] += {"cases_in": number, "cases_out": -number}.get(what, 0)
        took[phase] += number if what == "cases_out" else 0
    now = Counter(phase for mine in visits.values() for phase, visit in mine.items() if visit.left_at is None)
    assert +present == now  # who came in and did not go out is there
    assert not +took  # each who went out took a time
    last = {one.case_id: one.event for one in history if one.event.type not in EFFECTS}
    assert now[WHOLE] == sum(event.status not in FINAL for event in last.values())
    assert all(sum(one.left_at is None for key, one in mine.items() if key) <= 1 for mine in visits.values())
    events = [one.event for one in history]
    moved = [one for one in history if one.event.previous not in (None, one.event.status)]
    expected = {
        "cases_in": sum(
            one.previous is None or (one.previous in FINAL and one.changed_status) for one in events
        ),
        "transitions": len(moved),
        "by_hand": sum(one.by_staff for one in moved),
        "effects_done": sum(one.type is E.EFFECT_DONE for one in events),
        "effects_retried": sum(one.type is E.EFFECT_RETRIED for one in events),
        "effects_parked": sum(one.type is E.EFFECT_PARKED for one in events),
        "overdue": sum(one.type is E.TERM_LAPSED for one in events),
    }
    assert {name: whole[name] for name in expected} == expected


EFFECTS = {E.EFFECT_DONE, E.EFFECT_RETRIED, E.EFFECT_PARKED, E.EFFECT_SKIPPED}


# ── lead times and days ───────────────────────────────────────────────────────────────────────────────

YEARS = 20 * 365 * 86_400


@given(
    st.lists(st.floats(0, YEARS) | st.floats(0, 100), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]),
)
def test_a_quantile_out_of_the_histogram_is_within_five_per_cent_of_the_real_one(
    seconds: list[float], share: float
) -> None:
    seconds = [timedelta(seconds=one).total_seconds() for one in seconds]
    told = quantile(counts_of(str(sum(of_one(timedelta(seconds=one)) for one in seconds))), share)
    exact = sorted(seconds)[max(math.ceil(share * len(seconds)), 1) - 1]
    assert told is not None
    assert abs(told - exact) <= (0.05 * exact if exact >= 1 else 1)


def test_nobody_gone_is_no_lead_time_and_no_time_at_all_is_none() -> None:
    assert quantile(counts_of("0"), 0.5) is None
    assert seconds_of(bucket_of(timedelta(0))) == 0


@given(st.lists(st.lists(st.integers(0, BUCKETS - 1), max_size=30), max_size=8))
def test_histograms_added_in_any_batches_hold_every_case(batches: list[list[int]]) -> None:
    each = [sum(of_one(timedelta(seconds=seconds_of(bucket))) for bucket in batch) for batch in batches]
    cases = Counter(bucket for batch in batches for bucket in batch)
    assert counts_of(str(sum(each))) == [cases[bucket] for bucket in range(BUCKETS)]


def test_a_bucket_runs_over_into_the_next_only_after_thousands_of_millions() -> None:
    many = 10**DIGITS - 1
    told = counts_of(str(many * of_one(timedelta(hours=1)) + of_one(timedelta(hours=1.1))))
    assert Counter(told) == {0: BUCKETS - 2, many: 1, 1: 1}
    assert quantile(told, 0.5) == pytest.approx(3600, rel=0.05)


def test_what_takes_longer_than_any_bucket_is_in_the_last() -> None:
    assert bucket_of(timedelta(days=21 * 365)) == BUCKETS - 2
    assert {bucket_of(timedelta(days=years * 365)) for years in (22, 30, 300, 2700)} == {BUCKETS - 1}
    assert quantile(counts_of(str(of_one(timedelta(days=40 * 365)))), 0.9) == seconds_of(BUCKETS - 1)


@given(st.dates(date(2020, 1, 1), date(2035, 1, 1)), st.integers(0, 4000))
def test_a_period_is_few_blocks_that_hold_each_day_once(first: date, length: int) -> None:
    last = first + timedelta(days=length)
    blocks = list(blocks_between(first, last))
    days = [begin + timedelta(days=number) for size, begin in blocks for number in range(size)]
    assert days == [first + timedelta(days=number) for number in range(length + 1)]
    assert len(blocks) <= 3 * 2 * len(BLOCKS)
    assert all(block in set(blocks_of(block[1])) for block in blocks)


# ── following the events ──────────────────────────────────────────────────────────────────────────────

PERSON = uuid7()


async def begin(database: Database, number: int = 1) -> list[UUID]:
    """Cases that were handed in, each in a transaction of its own."""
    made = []
    for _ in range(number):
        case = uuid7()
        async with database.transaction() as session:
            for statement in BEGIN:
                await session.execute(text(statement), {"case": case, "person": PERSON, "now": BEGAN})
            await session.execute(text(EVENT), _event(case, 1, E.SUBMITTED, "screening", S.RECEIVED, None))
        made.append(case)
    return made


def _event(
    case: UUID, version: int, type_: EventType, stage: str, status: Status, previous: Status | None
) -> Json:
    at = BEGAN + timedelta(hours=version)
    return {"id": uuid7(), "case": case, "person": PERSON, "version": version, "type": type_, "stage": stage,
            "status": status, "previous": previous, "at": at}  # fmt: skip


async def goes_on(database: Database, case: UUID) -> None:
    async with database.transaction() as session:
        for one in (
            _event(case, 2, E.SCREENING_STARTED, "screening", S.SCREENING, S.RECEIVED),
            _event(case, 3, E.APPROVED, "decision", S.APPROVED, S.SCREENING),
            _event(case, 4, E.PAYMENT_DUE, "payment", S.AWAITING_PAYMENT, S.APPROVED),
        ):
            await session.execute(text(EVENT), one)


BEGIN = (
    "INSERT INTO person (id, given_name, family_name, language, by_email, by_sms, by_letter, created_at)"
    " VALUES (:person, 'An', 'Peeters', 'nl', true, false, false, :now) ON CONFLICT DO NOTHING",
    "INSERT INTO application (id, procedure_key, procedure_version, person_id, channel, status, version,"
    " answers, prefill, cart, facts, started_at, updated_at, expires_at) VALUES (:case, 'compost-bin', 1,"
    " :person, 'ONLINE', 'SUBMITTED', 1, '{}', '[]', '[]', '{}', :now, :now, :now)",
    'INSERT INTO "case" (id, reference, procedure_key, procedure_version, person_id, application_id, channel,'
    " stage, status, version, round, department, submitted_at, due_on, overdue, suspensions, facts,"
    " updated_at) VALUES (:case, CAST(:case AS text), 'compost-bin', 1, :person, :case, 'ONLINE',"
    " 'screening', 'RECEIVED', 1, 1, 'Dienst milieu', :now, '2026-04-01', false, '[]', '{}', :now)",
)
EVENT = (
    "INSERT INTO event (id, case_id, person_id, case_version, type, stage, status, previous_status,"
    " occurred_at, actor_kind, actor_name, data, chain) VALUES (:id, :case, :person, :version, :type, :stage,"
    " :status, :previous, :at, 'SYSTEM', '', '{}', '')"
)


async def drained(follower: Follower, most: int = 1000) -> int:
    total = 0
    while number := await follower.count(most):
        total += number
    return total


async def whole_of(database: Database) -> blueprint.Blueprint:
    return await blueprint.read(database, BIN, None, None, today=date(2026, 12, 31))


async def test_a_database_with_a_history_is_counted_from_its_beginning(database: Database) -> None:
    for case in await begin(database, 3):
        await goes_on(database, case)
    assert await drained(Follower(database, PROCEDURES), most=5) == 12
    found = await whole_of(database)
    told = {phase.key: (one.cases_in, one.cases_out, one.waiting) for phase, one in found.phases}
    assert told == {
        "application": (3, 3, 0),
        "handling": (3, 3, 0),
        "payment": (3, 0, 3),
        "delivery": (0, 0, 0),
    }
    handling = {phase.key: one for phase, one in found.phases}["handling"]
    assert (handling.transitions, handling.automatic_share) == (9, 1.0)
    assert handling.lead_time_median == pytest.approx(2 * 3600, rel=0.05)
    assert (found.whole.cases_in, found.whole.waiting) == (3, 3)
    before = await blueprint.read(
        database, BIN, None, BEGAN.date() - timedelta(days=1), today=date(2026, 12, 31)
    )
    assert (before.whole.cases_in, before.whole.waiting) == (0, 3)  # what waits, waits now


async def test_a_home_with_cases_from_before_publishing_is_taken_along(empty_database_url: str) -> None:
    """Its procedures are on the shelf, and what happened there is counted."""
    move_to(empty_database_url, "0004", command.upgrade)
    async with Database(empty_database_url) as older:
        (case,) = await begin(older)
        await goes_on(older, case)
    assert (await asyncio.to_thread(revisions.upgrade, empty_database_url))[0] == "0005"
    move_to(empty_database_url, "0004", command.downgrade)  # and again, with all that was there
    assert (await asyncio.to_thread(revisions.upgrade, empty_database_url))[0] == "0005"
    files = publishing.read_all(SHIPPED.glob("*.yaml"))
    async with Database(empty_database_url) as database:
        shelf = Publications(database, files)
        async with shelf.running():
            assert await drained(Follower(database, shelf)) == 4
        rows = await whole_of(database)
        async with database.reader() as reader:
            found = await (await reader.execute("SELECT key, version FROM procedureversion")).fetchall()
    assert {tuple(row) for row in found} == {one.version for one in files}
    assert (rows.whole.cases_in, rows.whole.waiting) == (1, 1)


def move_to(url: str, revision: str, move: Callable[[Config, str], None]) -> None:
    with revisions._connected(url) as connection:
        move(revisions._config(connection), revision)
        connection.commit()


async def test_lead_times_from_before_they_were_packed_are_kept_and_still_read_as_they_were(
    empty_database_url: str,
) -> None:
    move_to(empty_database_url, "0005", command.upgrade)
    day = BEGAN.astimezone(BRUSSELS).date()
    rows = [
        (*block, phase, Jsonb(cases))
        for block in blocks_of(day)
        for phase, cases in (
            ("handling", {"0": 3, "137": 2, "254": 1}),
            (WHOLE, {"90": 7, "255": 4_000_000_000}),
        )
    ]
    old = "SELECT days, day, phase, cases FROM leadtime WHERE procedure_key = 'compost-bin' ORDER BY 1, 3"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for days, first, phase, cases in rows:
            connection.execute(OLD_FIGURE, (days, first, phase))
            connection.execute(OLD_LEAD_TIMES, (days, first, phase, cases))
        before = connection.execute(old).fetchall()
        move_to(empty_database_url, "0006", command.upgrade)
        assert connection.execute(old).fetchall() == before
        with pytest.raises(psycopg.errors.FeatureNotSupported):  # whoever counted so does not any more
            connection.execute(OLD_LEAD_TIMES, (1, day, "payment", Jsonb({"4": 1})))
        (told,) = connection.execute(
            "SELECT sum(lead_times)::text FROM figure WHERE phase = 'handling' AND days = 1"
        ).fetchone() or ("",)
        counts = counts_of(told)
        assert {bucket: cases for bucket, cases in enumerate(counts) if cases} == {0: 3, 137: 2, 254: 1}
        move_to(empty_database_url, "0005", command.downgrade)
        assert connection.execute(old).fetchall() == before
        connection.execute("UPDATE leadtime SET cases = cases || '{\"301\": 5}'")
        move_to(empty_database_url, "0006", command.upgrade)
        assert {cases["255"] for _, _, _, cases in connection.execute(old)} == {5, 4_000_000_005}


OLD_FIGURE = "INSERT INTO figure VALUES ('compost-bin', %s, %s, %s, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)"
OLD_LEAD_TIMES = (
    "INSERT INTO leadtime (procedure_key, days, day, phase, cases) VALUES ('compost-bin', %s, %s, %s, %s)"
    " ON CONFLICT (procedure_key, days, day, phase) DO UPDATE SET cases = EXCLUDED.cases"
)


async def test_cases_of_a_version_that_nobody_can_read_keep_the_others_waiting_no_longer(
    database: Database,
) -> None:
    await begin(database, 2)
    others = {version: one for version, one in PROCEDURES.items() if version[0] != "compost-bin"}
    with pytest.raises(KeyError):
        await Follower(database, others).count()
    assert await drained(Follower(database, others, unreadable={("compost-bin", 1)})) == 2
    assert (await whole_of(database)).whole.cases_in == 0


async def test_two_who_count_at_once_count_each_event_once(database: Database) -> None:
    for case in await begin(database, 10):
        await goes_on(database, case)
    followers = [Follower(database, PROCEDURES) for _ in range(4)]

    async def busy(one: Follower) -> int:
        return sum([await one.count(3) for _ in range(30)])

    counts = await asyncio.gather(*(busy(one) for one in followers))
    assert sum(counts) + await drained(followers[0]) == 40
    found = await whole_of(database)
    assert (found.whole.cases_in, found.whole.transitions) == (10, 30)


async def test_whoever_is_killed_between_or_within_batches_loses_and_repeats_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in await begin(database, 6):
        await goes_on(database, case)
    follower = Follower(database, PROCEDURES)
    write = figures.add
    for _ in range(3):
        assert await follower.count(4) == 4  # and is gone after its commit

        async def dies(*given: object) -> None:
            await write(*given)  # type: ignore[arg-type]  # as it is called
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(figures, "add", dies)
            with suppress(KeyboardInterrupt):
                await follower.count(4)
        follower = Follower(database, PROCEDURES)
    await drained(follower, most=4)
    found = await whole_of(database)
    assert (found.whole.cases_in, found.whole.transitions, found.whole.waiting) == (6, 18, 6)


async def test_what_commits_late_is_counted_all_the_same(database: Database) -> None:
    early, late = await begin(database, 2)
    follower = Follower(database, PROCEDURES)
    await drained(follower)
    async with database.transaction() as slow:
        await slow.execute(
            text(EVENT), _event(late, 2, E.SCREENING_STARTED, "screening", S.SCREENING, S.RECEIVED)
        )
        await goes_on(database, early)
        assert await drained(follower) == 0  # behind one that is not settled yet
        unsettled = await whole_of(database)
    assert unsettled.as_of < datetime.now(UTC)
    assert await drained(follower) == 4
    found = await whole_of(database)
    assert found.whole.transitions == 4
    assert found.as_of > unsettled.as_of


async def test_after_a_restore_all_is_counted_anew_and_what_citizens_said_stays(database: Database) -> None:
    (case,) = await begin(database)
    await goes_on(database, case)
    follower = Follower(database, PROCEDURES)
    await drained(follower)
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO experience (case_id, phase, procedure_key, feeling, remark, rated_at)"
                 " VALUES (:case, 'handling', 'compost-bin', 'HAPPY', '', :at)"), {"case": case, "at": BEGAN},
        )  # fmt: skip
        await figures.add(
            session, {("compost-bin", "handling", BEGAN.astimezone(BRUSSELS).date()): {"happy": 1}}
        )
    before = await whole_of(database)
    async with database.transaction() as session:
        await session.execute(text("UPDATE feedepoch SET epoch = epoch + 1"))
        await session.execute(text("UPDATE follower SET xid = '9000000000'"))  # of the cluster that is gone
    assert await drained(follower) == 4
    after = await whole_of(database)
    assert (after.phases, after.whole) == (before.phases, before.whole)
    assert after.whole.happy == 1


# ── in a town ─────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = "hostile"
SCRIPT = '<script>alert("1")</script>&\'<img src=x onerror=alert(2)>'
BLUEPRINT = """query($p: String!, $f: Date, $t: Date) { blueprint(procedure: $p, from: $f, to: $t) {
    procedure version title startsOn endsOn asOf
    total { ...figures experience { happy neutral unhappy share } }
    phases { key title interactionPoint medium frontOffice backOffice difference ...figures
             experience { happy neutral unhappy share remarks(first: 5) { text feeling } } } } }
fragment figures on BlueprintFigures { casesIn casesOut waiting leadTimeMedianSeconds leadTimeP90Seconds
    transitions automaticShare effectsDone effectsRetried effectsParked
    messagesSent messagesFailed overdue }"""
PHASES = "phases { key state canRate feeling }"


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    _write_hostile(folder)
    room = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, room, procedures=str(folder)) as found:
        yield found


def _write_hostile(folder: Path) -> None:
    """The shipped bin, with markup wherever a municipality may write."""
    yaml = YAML(typ="safe", pure=True)
    (shipped,) = SHIPPED.glob("compost-bin.yaml")
    told = yaml.load(shipped.read_text("utf-8"))
    told |= {
        "key": HOSTILE,
        "reference_prefix": "HX",
        "title": SCRIPT,
        "department": f"Dienst milieu {SCRIPT}",
    }
    rows = ("title", "interaction_point", "front_office", "back_office", "difference")
    told["phases"] = [phase | dict.fromkeys(rows, SCRIPT) | {"medium": [SCRIPT]} for phase in told["phases"]]
    yaml.representer.ignore_aliases = lambda *_: True
    with (folder / f"{HOSTILE}.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(told, file)


@pytest.fixture(scope="module")
async def roads(town: Town) -> dict[str, Dossier]:
    """Four cases that went different ways."""
    done, withdrawn, reopened, waiting = [await town.applies() for _ in range(4)]
    for one in (done, withdrawn, reopened, waiting):
        await one.until("AWAITING_PAYMENT")
    await done.pays()
    await done.until("AWAITING_SLOT")
    await done.books()
    delivery = (await done.read(fields="delivery { id }"))["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    await town.does(withdrawn.who, "caseWithdraw", id=withdrawn.id)
    await town.does(HANDLER, "caseCancel", id=reopened.id, input={"reason": "Vergissing"})
    await town.does(HANDLER, "caseReopen", id=reopened.id, input={"reason": "Toch", "stage": "PAYMENT"})
    found = {"done": done, "withdrawn": withdrawn, "reopened": reopened, "waiting": waiting}
    for one in found.values():
        await one.calm()
    return found


async def shown(town: Town, who: str | None = HANDLER, procedure: str = "compost-bin", **period: str) -> Json:
    """The blueprint once all that happened is counted."""

    async def all_counted() -> bool:
        return not await town.sql(
            "SELECT FROM event LEFT JOIN follower ON (event.xid, event.seq) <= (follower.xid, follower.seq)"
            " WHERE follower.name IS NULL LIMIT 1"
        )

    await until(all_counted)
    found: Json = (await town.ask(who, BLUEPRINT, p=procedure, **period))["blueprint"]
    return found


async def test_the_blueprint_shows_where_cases_went(town: Town, roads: dict[str, Dossier]) -> None:
    found = await shown(town)
    told = {one["key"]: (one["casesIn"], one["casesOut"], one["waiting"]) for one in found["phases"]}
    assert told == {
        "application": (4, 4, 0),
        "handling": (4, 4, 0),
        "payment": (5, 3, 2),
        "delivery": (1, 1, 0),
    }
    assert (found["total"]["casesIn"], found["total"]["casesOut"], found["total"]["waiting"]) == (5, 3, 2)
    assert found["phases"][0]["title"] == "Digitale aanvraag"
    assert "winkelmandje" in found["phases"][0]["frontOffice"]
    assert all(one["leadTimeMedianSeconds"] is not None for one in found["phases"])


async def test_the_blueprint_counts_what_the_events_say(town: Town, roads: dict[str, Dossier]) -> None:
    found = await shown(town)
    (said,) = await town.sql(
        """SELECT count(*) FILTER (WHERE previous_status <> event.status) AS transitions,
                  count(*) FILTER (WHERE previous_status <> event.status AND actor_kind = 'STAFF') AS by_hand,
                  count(*) FILTER (WHERE type = 'EFFECT_DONE') AS done,
                  count(*) FILTER (WHERE type = 'EFFECT_RETRIED') AS retried
             FROM event JOIN "case" ON "case".id = case_id WHERE procedure_key = 'compost-bin'"""
    )
    (sent,) = await town.sql("SELECT count(*) FROM message WHERE status IN ('SENT', 'DELIVERED')")
    total = found["total"]
    assert (total["transitions"], total["effectsDone"], total["effectsRetried"]) == (
        said.transitions, said.done, said.retried,
    )  # fmt: skip
    assert total["automaticShare"] == pytest.approx(1 - said.by_hand / said.transitions)
    assert 0 < total["automaticShare"] < 1
    assert total["messagesSent"] == sent[0] > 0
    for name in ("transitions", "effectsDone", "messagesSent"):
        assert sum(one[name] for one in found["phases"]) == total[name]
    payment = next(one for one in found["phases"] if one["key"] == "payment")
    assert payment["automaticShare"] < 1  # it was cancelled by hand there


async def test_a_period_holds_what_happened_on_its_days(town: Town, roads: dict[str, Dossier]) -> None:
    today = datetime.now(BRUSSELS).date()
    day = timedelta(days=1)
    everything = await shown(town)
    now = await shown(town, f=(today - day).isoformat(), t=(today + day).isoformat())
    assert now["total"] == everything["total"]
    past = await shown(town, t=(today - 2 * day).isoformat())
    assert (past["total"]["casesIn"], past["total"]["waiting"]) == (0, 2)
    wrong = {"p": "compost-bin", "f": today.isoformat(), "t": (today - day).isoformat()}
    (fault,) = (await town.post(HANDLER, BLUEPRINT, wrong))["errors"]
    assert fault["extensions"]["code"] == "VALIDATION"


async def test_only_staff_of_the_department_see_a_blueprint(town: Town, roads: dict[str, Dossier]) -> None:
    for who in (None, roads["done"].who, "sofie", "astrid"):
        assert await shown(town, who) is None, who
    assert await shown(town, HANDLER, "social-premium") is None
    assert await shown(town, HANDLER, "no-such-thing") is None
    assert (await shown(town, "sofie", "social-premium"))["total"]["casesIn"] == 0


async def test_a_citizen_says_once_how_a_phase_went_after_it_went(
    town: Town, roads: dict[str, Dossier]
) -> None:
    case = roads["waiting"]
    seen = await case.read(case.who, PHASES)
    can = {one["key"]: one["canRate"] for one in seen["phases"]}
    assert can == {"application": True, "handling": True, "payment": False, "delivery": False}
    assert "EXPERIENCE_RATE" in await case.actions(case.who)
    assert "EXPERIENCE_RATE" not in await case.actions(HANDLER)
    said = {
        "caseId": case.id,
        "phase": "handling",
        "feeling": "HAPPY",
        "remark": " Snel, bij 85.07.30-033.28 ",
    }
    for _ in range(2):
        payload = await town.does(case.who, "experienceRate", f"case {{ {PHASES} }}", **said)
        (mine,) = [one for one in payload["case"]["phases"] if one["key"] == "handling"]
        assert (mine["canRate"], mine["feeling"]) == (False, "HAPPY")
    for other in ({"feeling": "UNHAPPY"}, {"remark": "Traag"}):
        refused = await town.refused(case.who, "experienceRate", **(said | other))
        assert refused["code"] == "RULE_NOT_MET"
    for wrong, code in (
        ({"phase": "payment"}, "RULE_NOT_MET"), ({"phase": "delivery"}, "RULE_NOT_MET"),
        ({"phase": ""}, "VALIDATION"), ({"phase": "nowhere"}, "VALIDATION"),
        ({"phase": "application", "remark": "x" * 1001}, "TOO_LARGE"),
    ):  # fmt: skip
        assert (await town.refused(case.who, "experienceRate", **(said | wrong)))["code"] == code
    found = await shown(town)
    (handling,) = [one for one in found["phases"] if one["key"] == "handling"]
    feelings = handling["experience"]
    assert (feelings["happy"], feelings["neutral"], feelings["unhappy"], feelings["share"]) == (1, 0, 0, 1.0)
    (remark,) = feelings["remarks"]
    assert remark["feeling"] == "HAPPY"
    assert remark["text"].startswith("Snel")
    assert "033" not in remark["text"]
    assert found["total"]["experience"]["happy"] == 1
    seen = await case.read(HANDLER, PHASES)
    assert [(one["canRate"], one["feeling"]) for one in seen["phases"]] == [(False, None)] * 4


async def test_nobody_rates_for_another(town: Town, roads: dict[str, Dossier]) -> None:
    case = roads["done"]
    said = {"caseId": case.id, "phase": "delivery", "feeling": "UNHAPPY"}
    for who, code in (
        (None, "SIGN_IN_REQUIRED"),
        (roads["waiting"].who, "NOT_FOUND"),
        (HANDLER, "NOT_ALLOWED"),
    ):
        assert (await town.refused(who, "experienceRate", **said))["code"] == code
    seen = await case.read(case.who, PHASES)
    assert {(one["state"], one["canRate"]) for one in seen["phases"]} == {("PAST", True)}


async def test_many_rate_while_figures_are_counted_and_each_counts_once(
    town: Town, roads: dict[str, Dossier]
) -> None:
    before = (await shown(town))["phases"][0]["experience"]
    rated = [one for name, one in roads.items() if name != "waiting"]

    async def rates(case: Dossier, feeling: str) -> None:
        said = {"caseId": case.id, "phase": "application", "feeling": feeling}
        await asyncio.gather(*(town.does(case.who, "experienceRate", **said) for _ in range(4)))

    await asyncio.gather(
        *(town.does(HANDLER, "caseAddNote", id=one.id, input={"text": "druk"}) for one in rated * 5),
        *(rates(case, feeling) for case, feeling in zip(rated, ("HAPPY", "NEUTRAL", "UNHAPPY"), strict=True)),
    )
    after = (await shown(town))["phases"][0]["experience"]
    assert [after[one] - before[one] for one in ("happy", "neutral", "unhappy")] == [1, 1, 1]
    (kept,) = await town.sql(
        "SELECT sum(happy + neutral + unhappy), (SELECT count(*) FROM experience) FROM figure WHERE days = 1"
    )
    assert kept[0] == kept[1]


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────


async def page(town: Town, who: str | None, path: str, **headers: str) -> httpx2.Response:
    if who is not None:
        headers["Authorization"] = f"Bearer {await town.served.token_of(who)}"
    return await town.client.get(path, headers=headers)


async def test_staff_sign_in_and_read_the_page(town: Town, roads: dict[str, Dossier]) -> None:
    await shown(town)
    async with httpx2.AsyncClient(base_url=town.served.url, trust_env=False) as browser:
        closed = await browser.get("/blueprint/compost-bin?from=2026-01-01")
        assert closed.status_code == 303
        there = httpx2.URL(closed.headers["location"]).params
        assert (there["audience"], there["return"]) == ("staff", "/blueprint/compost-bin?from=2026-01-01")
        back = await sign_in(browser, HANDLER, **dict(there))
        answer = await browser.get(back.headers["location"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    said = answer.text
    assert '<html lang="nl">' in said
    assert "<caption>" in said
    assert said.count('scope="col"') == 5
    for row in ("Fase", "Interactiepunt", "Medium", "Ervaring", "Frontoffice", "Backoffice", "Verschil"):
        assert f">{row}" in said
    assert "Binnengekomen</dt><dd>4</dd>" in said
    assert 'value="2026-01-01"' in said


async def test_the_page_runs_no_script_and_only_its_own_style(town: Town) -> None:
    answer = await page(town, HANDLER, "/blueprint/compost-bin")
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "<script" not in answer.text
    assert "style=" not in answer.text.replace(style, "")
    assert "@page" in style


async def test_what_a_definition_says_stays_text(town: Town) -> None:
    for path in (f"/blueprint/{HOSTILE}", "/blueprint", f"/blueprint/{HOSTILE}?from=%22%3E%3Cscript%3E"):
        answer = await page(town, "greet", path)
        assert "<script" not in answer.text
        assert "<img" not in answer.text
        assert "&lt;script&gt;alert(" in answer.text


async def test_the_page_is_not_there_for_others(town: Town, roads: dict[str, Dossier]) -> None:
    for who, path in (
        (roads["done"].who, "/blueprint/compost-bin"), ("sofie", "/blueprint/compost-bin"),
        (HANDLER, "/blueprint/social-premium"), (HANDLER, "/blueprint/nowhere"), ("astrid", "/blueprint"),
        (roads["done"].who, "/blueprint"),
    ):  # fmt: skip
        answer = await page(town, who, path)
        assert (answer.status_code, "<table" in answer.text) == (404, False), (who, path)
    false = await page(town, None, "/blueprint/compost-bin", Authorization="Bearer niets")
    assert false.status_code == 401
    assert (await page(town, None, "/blueprint")).status_code == 303
    index = (await page(town, HANDLER, "/blueprint")).text
    assert "/blueprint/compost-bin" in index
    assert "social-premium" not in index


async def test_the_page_speaks_english_and_says_what_is_wrong_with_a_period(town: Town) -> None:
    answer = await page(town, HANDLER, "/blueprint/compost-bin?to=2026-02-30", **{"Accept-Language": "en"})
    assert answer.status_code == 400
    assert '<html lang="en">' in answer.text
    assert 'role="alert">There is no such period' in answer.text
    assert "Lead time, median" in answer.text
    assert "Online application" in answer.text
    assert '<p lang="nl">De burger vult de aanvraag in' in answer.text  # not translated by whoever wrote it
