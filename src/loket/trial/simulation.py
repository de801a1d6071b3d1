"""Trying a definition dry: a case walks its whole path, and nothing of it is kept (proefdossier).

The verbs are the real ones, in one transaction on a connection of its own that is always rolled back. All
tables stand empty there: a temporary copy of each hides the town's own, so no row of the town is read, locked
or counted, no number of a case or an invoice is used up, and other trials are not in the way. No worker sees
what is left for other systems: `pretence` says what those would answer.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from loket import rules, stages
from loket.app import Loket
from loket.database import Database
from loket.definition import Definition, Text
from loket.errors import ErrorCode, ManyRefused, Refused, Unavailable
from loket.records import (
    EVERY_ATTEMPT,
    EVERY_EFFECT,
    Attempt,
    Case,
    Effect,
    EffectState,
    Entitlement,
    case_number,
)
from loket.settings import Settings
from loket.terms import BRUSSELS
from loket.trial import casefile, simulated, strawman
from loket.trial.casefile import CaseFile
from loket.trial.pretence import Pretence
from loket.trial.simulated import Path, RuleValue
from loket.trial.townspeople import Townspeople
from loket.vault import Vault
from loket.work import Work, the_system

AT_ONCE = 3
"""Trials of one process: each has a connection, and the feed of events waits for the oldest."""
PATIENCE_SECONDS = 18.0
"""How long one may wait for its turn and its end: less than a request may take."""
LONGEST_SECONDS = 12.0
STATEMENT_SECONDS = 10.0
LOCK_SECONDS = 1.0
EVERY = ((EVERY_EFFECT, Effect), (EVERY_ATTEMPT, Attempt))
"""Views, and the table of what a trial leaves in them: nothing of it is archived."""
LAST_CASE = 2**30 - 1
"""The highest number that a case can have: the town does not get there."""
FURTHEST_DAYS = 3660
"""How far from today somebody may hand in."""


@dataclass(frozen=True)
class Ground:
    """What a trial needs of a Loket: no other system is among it."""

    database: Database
    settings: Settings
    procedures: Mapping[tuple[str, int], Definition]


_turns: WeakKeyDictionary[Loket, asyncio.Semaphore] = WeakKeyDictionary()


async def simulate_in_turn(loket: Loket, definition: Definition, case: CaseFile) -> Path:
    """As `simulate`, a few at a time in this process. Raises also `Unavailable` for who waits too long."""
    places = _turns.setdefault(loket, asyncio.Semaphore(AT_ONCE))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), places:
            ground = Ground(loket.database, loket.settings, loket.procedures)
            return await simulate(ground, definition, case)
    except TimeoutError as fault:
        raise Unavailable("simulation", "too many others try something now") from fault


async def simulate(ground: Ground, definition: Definition, case: CaseFile) -> Path:
    """The path that `case` would take under `definition`.

    Raises:
        ManyRefused, Refused: facts of which the procedure has nothing; answers or a cart that cannot be
            handed in, as a citizen would hear it.
        Unavailable: the database is too busy, or it took too long.
    """
    casefile.check(case, definition)
    began_at = _began_at(case)
    try:
        async with (
            asyncio.timeout(LONGEST_SECONDS),
            ground.database.apart(
                statement_timeout_seconds=STATEMENT_SECONDS, lock_timeout_seconds=LOCK_SECONDS
            ) as session,
        ):
            await _hide_the_town(session)
            return await _try(ground, session, definition, case, began_at)
    except TimeoutError as fault:
        raise Unavailable("simulation", "it took too long") from fault
    except DBAPIError as fault:
        if fault.connection_invalidated or _gave_up(fault):
            raise Unavailable("simulation", "the database is too busy") from fault
        raise


def _gave_up(fault: DBAPIError) -> bool:
    return getattr(fault.orig, "sqlstate", "") in ("57014", "55P03", "53300")


def _began_at(case: CaseFile) -> datetime:
    now = datetime.now(UTC)
    day = case.application.submitted_on
    if day is None:
        return now
    if abs(day - now.date()) > timedelta(days=FURTHEST_DAYS):
        reason = f"at most {FURTHEST_DAYS} days from today"
        raise Refused(ErrorCode.VALIDATION, path=["application", "submitted_on"], reason=reason)
    return datetime.combine(day, time(10), BRUSSELS).astimezone(UTC)


# --- a town of its own ------------------------------------------------------------------------


async def _hide_the_town(session: AsyncSession) -> None:
    """From here on every table is an empty one that goes with the transaction; so do numbers."""
    connection = await session.connection()
    await connection.exec_driver_sql(_copies())
    # what has no copy is not found, rather than the town's own
    await connection.exec_driver_sql("SET LOCAL search_path = pg_temp")


@cache
def _copies() -> str:
    """Without foreign keys and triggers: those are the town's; all else of a table is as it is there."""
    like = "INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING INDEXES"
    tables = [
        f'CREATE TEMP TABLE "{one.name}" (LIKE "{one.name}" {like}) ON COMMIT DROP'
        for one in SQLModel.metadata.sorted_tables
    ]
    views = [f"CREATE TEMP VIEW {every.name} AS SELECT * FROM {of.__tablename__}" for every, of in EVERY]  # noqa: S608  # our own words
    numbers = f"CREATE TEMP SEQUENCE {case_number.name} MAXVALUE {LAST_CASE} START {LAST_CASE} INCREMENT -1"
    return ";\n".join([*tables, *views, numbers])


# --- the trial --------------------------------------------------------------------------------


async def _try(
    ground: Ground, session: AsyncSession, definition: Definition, case: CaseFile, began_at: datetime
) -> Path:
    work = Work(
        session=session,
        actor=the_system(),
        now=began_at,
        settings=ground.settings,
        # of its own, so that no index is one of the town's, whose lock others wait for
        vault=Vault(secrets.token_hex(32)),
        procedures=_with(ground.procedures, definition),
    )
    straw = strawman.cast(case, work.today)
    with rules.listening() as heard:
        case_id = await _hand_in(work, definition, case, straw)
        asked = _Asked(definition, heard)
        trial = Pretence(work, Townspeople(work, case, straw), case_id, noticed=asked.note)
        asked.note(work.now)
        await trial.play()
    record = await session.get_one(Case, case_id, populate_existing=True)
    return await simulated.path_of(work, record, asked.values(), trial.stopped, work.now)


def _with(
    procedures: Mapping[tuple[str, int], Definition], definition: Definition
) -> Mapping[tuple[str, int], Definition]:
    """As if it were the only version of its procedure."""
    others = {version: one for version, one in procedures.items() if one.key != definition.key}
    return {**others, (definition.key, definition.version): definition}


async def _hand_in(work: Work, definition: Definition, case: CaseFile, straw: strawman.Straw) -> UUID:
    """The case, after all that follows by itself on handing it in."""
    taken = [key for key, word in case.facts.claims.items() if word == "TAKEN"]
    if taken:
        await _take_benefits(work, definition, case, straw, taken)
    try:
        if case.facts.handed_in_before:
            await _hand_in_before(work, definition, case, straw)
        record = await strawman.applies(work, definition, case, straw)
    except (Refused, ManyRefused) as refusal:
        raise _of_application(refusal) from refusal
    await stages.settle(work)
    await work.session.flush()
    case_id = record.id
    work.session.expunge_all()
    return case_id


async def _hand_in_before(work: Work, definition: Definition, case: CaseFile, straw: strawman.Straw) -> None:
    """The same, an hour ago: of which nobody need hear any more."""
    now, work.now = work.now, work.now - timedelta(hours=1)
    await strawman.applies(work, definition, case, straw)
    await stages.settle(work)
    await work.session.flush()
    await work.session.execute(update(Effect).values(state=EffectState.DONE))
    work.session.expunge_all()
    work.now = now


async def _take_benefits(
    work: Work, definition: Definition, case: CaseFile, straw: strawman.Straw, wanted: Sequence[str]
) -> None:
    """Let others have them: who or what each is for is seen by asking once, and taking that back."""
    subjects: list[Entitlement] = []
    async with work.session.begin_nested() as attempt:
        record = await strawman.applies(work, definition, case, straw)
        for benefit, subject in (record.facts.get("claims") or {}).items():
            if benefit in wanted and subject is not None:
                subjects.append(strawman.taken(record, benefit, bytes.fromhex(subject)))
        await attempt.rollback()
    work.session.expunge_all()
    work.entered.clear()
    work.happened.clear()
    work.session.add_all(subjects)
    await work.session.flush()


def _of_application(refusal: Refused | ManyRefused) -> ManyRefused:
    """With paths from `application` on, in its words."""
    told = refusal.refusals if isinstance(refusal, ManyRefused) else [refusal]
    return ManyRefused([_placed(one) for one in told])


def _placed(one: Refused) -> Refused:
    path = list(one.path or [])
    if path[:2] == ["input", "lines"]:
        path = ["cart", *path[2:]]
    elif path[:1] == ["input"]:
        path = ["answers", *path[1:]]
    return Refused(one.code, path=["application", *path], extra=one.extra, text=one.text, **one.values)


# --- what the rules came to -------------------------------------------------------------------


@dataclass
class _Asked:
    """The conditions that were asked, by the words in which the definition has them."""

    definition: Definition
    heard: list[rules.Weighed]

    def __post_init__(self) -> None:
        self._known: dict[str, list[tuple[str, str, Text]]] = {}
        for kind, key, title, when in _conditions(self.definition):
            self._known.setdefault(when, []).append((kind, key, title))
        self._values: dict[tuple[str, str], RuleValue] = {}

    def note(self, at: datetime) -> None:
        """What was asked since: at that moment."""
        for one in self.heard:
            for kind, key, title in self._known.get(one.expression, ()):
                before = self._values.get((kind, key))
                self._values[kind, key] = RuleValue(
                    kind=kind,
                    key=key,
                    title=title,
                    when=one.expression,
                    outcome=one.ruling.outcome,
                    why=one.ruling.why,
                    at=at,
                    times=(before.times if before else 0) + 1,
                )
        self.heard.clear()

    def values(self) -> list[RuleValue]:
        """In the order of the definition; those that were never asked are left out."""
        order = [(kind, key) for kind, key, _, _ in _conditions(self.definition)]
        return [self._values[one] for one in dict.fromkeys(order) if one in self._values]


def _conditions(definition: Definition) -> Iterator[tuple[str, str, Text, str]]:
    """Every condition of a definition: what kind, its key, what people call it, its words."""
    if definition.co_applicant is not None and definition.co_applicant.when:
        yield (
            "CO_APPLICANT",
            "co_applicant",
            Text(nl="Medeaanvrager", en="Co-applicant"),
            definition.co_applicant.when,
        )
    for paper in definition.documents:
        if paper.required:
            yield "DOCUMENT", paper.key, paper.title, paper.required
    for free in definition.catalogue.free if definition.catalogue else ():
        yield "FREE", free.key, free.title, free.when
    for rule in definition.rules.screening:
        yield "SCREENING", rule.key, rule.title, rule.when
    for check in definition.checks:
        if check.when:
            yield "CHECK", check.key, check.title, check.when
    for rule in definition.rules.approval:
        yield "APPROVAL", rule.key, rule.title, rule.when
    for benefit in definition.benefits:
        if benefit.asked:
            yield "ASKED", benefit.key, benefit.title, benefit.asked
        yield "BENEFIT", benefit.key, benefit.title, benefit.when
