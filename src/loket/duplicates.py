"""Which cases of a procedure are like one another (dubbele aanvraag): found by a keyed index, never by name.

What must be the same (the applicant, the household, the domicile, answers) goes into one HMAC per case and
likeness; nothing of it can be read back. Two who apply at the same moment wait for each other here, so the
second finds the first.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import accounts
from loket.definition import Definition, Duplicate
from loket.formfields import field
from loket.lifecycle import FINAL, Stage, Status
from loket.records import Application, Case, Json, Likeness, Person
from loket.rules import compiled
from loket.sources import read
from loket.spelling import address_line, bare, folded
from loket.terms import BRUSSELS
from loket.work import Work

MAX_LIKE = 100
"""Cases that are looked at; who has more is like another in any case."""
GONE = frozenset({Status.REJECTED, Status.INADMISSIBLE, Status.WITHDRAWN, Status.CANCELLED})
"""What ended so is no other case any more."""
_UNDECIDED = frozenset({Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION})
_NUMBERED = frozenset({"national-number", "enterprise-number", "iban"})
"""Formats of which the marks between the digits say nothing."""


async def note(work: Work, case: Case) -> None:
    """Keep in what the case may be like another; done again whenever more of it is known.

    Until the end of this work no other case notes the same.
    """
    definition = work.definition(case)
    if not definition.duplicates:
        return
    noted = {
        one.key: work.vault.index("likeness", f"{definition.key}:{one.key}:{subject}")
        for one in definition.duplicates
        if (subject := await _subject(work, case, definition, one)) is not None
    }
    for index in sorted(noted.values()):  # in one order: so no two wait for each other
        number = int.from_bytes(index[:8], "big", signed=True)
        await work.session.execute(select(func.pg_advisory_xact_lock(number)))
    await work.session.execute(delete(Likeness).where(col(Likeness.case_id) == case.id))
    for key, index in noted.items():
        row = insert(Likeness).values(
            case_id=case.id, procedure_key=case.procedure_key, duplicate=key, subject_index=index
        )
        await work.session.execute(row)


async def facts_of(work: Work, case: Case) -> dict[str, bool]:
    """Of each likeness whose pieces are known: whether another case counts."""
    definition = work.definition(case)
    if not definition.duplicates:
        return {}
    found = await work.session.execute(
        select(col(Likeness.duplicate), col(Likeness.subject_index)).where(col(Likeness.case_id) == case.id)
    )
    indexes = {row.duplicate: row.subject_index for row in found}
    return {
        one.key: bool(await _like(work, case, one, indexes[one.key]))
        for one in definition.duplicates
        if one.key in indexes
    }


async def like(work: Work, case: Case) -> dict[str, list[Case]]:
    """Per likeness the cases that count, newest first; those that have none are left out."""
    found = await work.session.execute(
        select(col(Likeness.duplicate), col(Likeness.subject_index)).where(col(Likeness.case_id) == case.id)
    )
    indexes = {row.duplicate: row.subject_index for row in found}
    cases: dict[str, list[Case]] = {}
    for one in work.definition(case).duplicates:
        others = await _like(work, case, one, indexes[one.key]) if one.key in indexes else []
        if others:
            cases[one.key] = others
    return cases


async def _like(work: Work, case: Case, duplicate: Duplicate, index: bytes) -> list[Case]:
    found = await work.session.scalars(
        select(Case)
        .join(Likeness, col(Likeness.case_id) == col(Case.id))
        .where(
            col(Likeness.procedure_key) == case.procedure_key,
            col(Likeness.duplicate) == duplicate.key,
            col(Likeness.subject_index) == index,
            col(Case.id) != case.id,
            col(Case.status).not_in(GONE),
        )
        .order_by(col(Case.submitted_at).desc(), col(Case.id).desc())
        .limit(MAX_LIKE)
    )
    definition = work.definition(case)
    return [other for other in found if counts(definition, duplicate, case, other, work.today)]


class Dated(Protocol):
    """A case, or what is known of one."""

    @property
    def id(self) -> UUID: ...

    @property
    def submitted_at(self) -> datetime: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def status(self) -> Status: ...

    @property
    def valid_until(self) -> date | None: ...


def counts(definition: Definition, duplicate: Duplicate, mine: Dated, other: Dated, today: date) -> bool:
    """Whether a like case that is not gone counts.

    A later one that is still to be looked at does not: it sees this one itself. One that was looked at may
    have come through before this one was known.
    """
    later = (other.submitted_at, other.id) > (mine.submitted_at, mine.id)
    if later and not _was_looked_at(definition, other):
        return False
    match duplicate.period:
        case "open":
            valid = other.valid_until is not None and other.valid_until >= today
            return other.status not in FINAL or valid
        case "year":
            return _year(other) == _year(mine)
        case "ever":
            return True


def _was_looked_at(definition: Definition, other: Dated) -> bool:
    """Whether it came through all that could have stopped it as a duplicate."""
    if other.status in (Status.APPROVED, *FINAL) or other.stage not in definition.stages:
        return True
    left = definition.stages[definition.stages.index(other.stage) :]
    return not _stages_that_look(definition) & set(left)


def _stages_that_look(definition: Definition) -> frozenset[Stage]:
    """Up to where a duplicate can be stopped: by the rules of the screening alone, or by who decides."""
    first = [one.when for one in definition.rules.screening]
    later = [one.when for one in definition.rules.approval] + [one.when for one in definition.benefits]
    if any(map(_reads, first)) and not any(map(_reads, later)):
        return frozenset({Stage.SCREENING})
    return _UNDECIDED


def _reads(when: str) -> bool:
    return "duplicates" in compiled(when).variables()


def _year(one: Dated) -> int:
    return int(one.submitted_at.astimezone(BRUSSELS).year)


# --- in what ----------------------------------------------------------------------------------


async def _subject(work: Work, case: Case, definition: Definition, duplicate: Duplicate) -> str | None:
    """All that must be the same, in one text; None while a piece of it is not known."""
    application = await work.session.get_one(Application, case.application_id)
    answers = accounts.opened_in(definition, work.vault, application.answers)
    pieces: list[str] = []
    for name in duplicate.same:
        match name:
            case "applicant":
                piece = await _applicant(work, case.person_id)
            case "household":
                piece = case.household_index.hex() if case.household_index else None
            case "address":
                piece = _domicile(case)
            case pointer:
                piece = _answer(definition, answers, pointer)
        if not piece:
            return None
        pieces.append(piece)
    return orjson.dumps(pieces).decode()


async def _applicant(work: Work, person_id: UUID) -> str | None:
    """By the number that we knew first: another one that they got later makes nobody another person."""
    person = await work.session.get_one(Person, person_id)
    index = person.former_insz_index or person.insz_index
    return index.hex() if index else None


def _domicile(case: Case) -> str | None:
    address = (case.facts.get("person") or {}).get("address") or {}
    return address_line(address) if address.get("street") and address.get("number") else None


def _answer(definition: Definition, answers: Json, pointer: str) -> str | None:
    """An answer without what makes no difference; None where nothing was answered."""
    value: Any = read(answers, pointer.strip("/").split("/"))
    if isinstance(value, str):
        form = field(definition.form.json_schema, pointer) or {}
        return bare(value) if form.get("format") in _NUMBERED else folded(value)
    if value is None or value in ([], {}):
        return None
    return orjson.dumps(_alike(value), option=orjson.OPT_SORT_KEYS).decode()


def _alike(value: Any) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, dict):
        return {key: _alike(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [_alike(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
