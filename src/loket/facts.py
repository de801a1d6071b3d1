"""What the rules may read of a case, gathered from all that is kept of it; and of a draft."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from loket import duplicates, pricing, settings
from loket.definition import Definition
from loket.forms import asked
from loket.lifecycle import AdviceStatus, CheckStatus, CoApplicationStatus, Stage
from loket.records import Advice, Application, Case, Check, CoApplication, Document, Entitlement, Json
from loket.rules import Address, Applicant, Child, Facts, Household, Municipality, Quota
from loket.sources import age, fresh
from loket.terms import BRUSSELS
from loket.work import Work

DEPENDENT_YEARS = 18
CHECKED_IN = "checks_round"
"""Among the facts of a case: the round in which its checks were last begun."""
CLAIMED = "claims"
"""Among the facts of a case: of each benefit that is asked, whom it is claimed for (keyed index in hex)."""


@dataclass(frozen=True)
class Draft:
    """What there is of an application that is not handed in yet."""

    answers: Json
    """As they were given, or as they are kept."""
    cart: Sequence[Json] = ()
    told: Json = field(default_factory=dict)
    """What authentic sources said so far: `Application.facts`."""
    channel: str = "ONLINE"
    documents: Mapping[str, int] = field(default_factory=dict)
    """Of each kind, how many files were sent in; one that was announced only is not there."""


async def of_application(work: Work, application: Application) -> Facts:
    """What the rules may read of an application that is handed in now."""
    definition = work.definition(application)
    draft = Draft(
        application.answers,
        application.cart,
        application.facts,
        application.channel,
        await documents_in(work, application),
    )
    return of_draft(definition, draft, work.settings.municipality, work.now)


def of_draft(
    definition: Definition, draft: Draft, municipality: settings.Municipality, now: datetime
) -> Facts:
    """What the rules may read of a draft: what was filled in, and what sources said of it so far.

    Nothing is guessed, and what the form does not ask (any more) is not there. What only a case can know is
    absent (duplicates, who confirmed, what the household ordered), or not known yet (checks).
    """
    today = now.astimezone(BRUSSELS).date()
    reference = definition.reference_day(today)
    return Facts(
        municipality=Municipality(municipality.nis, municipality.name, municipality.postal_code),
        today=today,
        channel=draft.channel,
        application=asked(definition.form, draft.answers),
        applicant=_applicant(draft.told, now, reference, municipality.nis),
        household=_household(draft.told, now, reference, {}),
        cart=pricing.cart_lines(draft.cart),
        sources_complete=_complete(draft.told, now),
        reference_date=reference,
        window_open=definition.window.holds(today) if definition.window else None,
        tables=_tables(definition, reference),
        checks={check.key: CheckStatus.RUNNING for check in definition.checks},
        documents=_declared(definition, draft.documents),
    )


async def facts_of(work: Work, case: Case) -> Facts:
    """What the rules may read of this case."""
    definition = work.definition(case)
    application = await work.session.get_one(Application, case.application_id)
    quota = case.facts.get("quota") or {}
    handed_in_on = submitted_on(case)
    reference = definition.reference_day(handed_in_on)
    municipality = work.settings.municipality
    return Facts(
        municipality=Municipality(municipality.nis, municipality.name, municipality.postal_code),
        today=work.today,
        channel=case.channel,
        application=application.answers,
        applicant=_applicant(case.facts, work.now, reference, municipality.nis),
        household=_household(case.facts, work.now, reference, quota),
        cart=pricing.cart_lines(application.cart),
        quota=Quota(sourced=bool(quota), within_maximum=quota.get("within_maximum")),
        sources_complete=_complete(case.facts, work.now),
        reference_date=reference,
        window_open=definition.window.holds(handed_in_on) if definition.window else None,
        tables=_tables(definition, reference),
        checks=await _checks(work, case, definition),
        advices=await _advices(work, case),
        claims=await _claims(work, case, handed_in_on.year),
        co_applicant=await _co_applicant(work, case),
        duplicates=await duplicates.facts_of(work, case),
        documents=_declared(definition, await documents_in(work, application)),
    )


def submitted_on(case: Case) -> date:
    """The day in Belgium."""
    return case.submitted_at.astimezone(BRUSSELS).date()


def _complete(told: Json, now: datetime) -> bool:
    return all(fresh(told, part, now) for part in ("person", "household"))


def _tables(definition: Definition, reference: date) -> dict[str, float]:
    return {key: float(value) for key, value in definition.figures(reference).items()}


def _applicant(told: Json, now: datetime, reference: date, nis: str) -> Applicant:
    person = told.get("person") or {}
    sourced = fresh(told, "person", now)
    birth_on, address = _day(person.get("birth_on")), person.get("address") or {}
    return Applicant(
        sourced=sourced,
        age=age(birth_on, now.astimezone(BRUSSELS).date()) if birth_on else None,
        deceased=bool(person.get("deceased_on")) if sourced else None,
        address=Address(
            **{k: address.get(k) for k in ("street", "number", "box", "postal_code", "city", "nis")}
        ),
        resident_since=_day(address.get("since")),
        resident_on_reference_date=_resided(address, reference, nis),
    )


def _resided(address: Json, reference: date, nis: str) -> bool | None:
    """Who came to the present address later may have lived at another one in the municipality: unknown."""
    since = _day(address.get("since"))
    return address.get("nis") == nis if since is not None and since <= reference else None


def _household(told: Json, now: datetime, reference: date, quota: Json) -> Household:
    household, today = told.get("household") or {}, now.astimezone(BRUSSELS).date()
    kept = household.get("children")
    births = None if kept is None else [_day(one["birth_on"]) for one in kept]
    children = (
        None
        if births is None
        else [Child(age(one, today), age(one, reference)) if one is not None else Child() for one in births]
    )
    return Household(
        sourced=fresh(told, "household", now),
        members=household.get("members"),
        ordered_this_year=quota.get("ordered_this_year") or {},
        ordered_ever=quota.get("ordered_ever") or {},
        children=children,
        dependants=_dependants(children),
    )


def _dependants(children: list[Child] | None) -> float | None:
    ages = None if children is None else [one.age_on_reference_date for one in children]
    if ages is None or None in ages:
        return None
    return float(sum(0 <= one < DEPENDENT_YEARS for one in ages if one is not None))


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# --- what was sent in ---------------------------------------------------------------------------


async def documents_in(work: Work, application: Application) -> dict[str, int]:
    """Of each kind, how many files were sent in; one that was announced only is not there."""
    found = await work.session.execute(
        select(col(Document.kind), func.count())
        .where(col(Document.application_id) == application.id, col(Document.stored_at).is_not(None))
        .group_by(col(Document.kind))
    )
    return {row[0]: row[1] for row in found}


def _declared(definition: Definition, held: Mapping[str, int]) -> dict[str, int]:
    return {kind.key: held.get(kind.key, 0) for kind in definition.documents}


# --- what was asked of others -----------------------------------------------------------------


async def _checks(work: Work, case: Case, definition: Definition) -> dict[str, str]:
    """Before the assessment of this round asks them all are still to come, whatever an earlier one said."""
    begun_in = case.facts.get(CHECKED_IN)
    stages = definition.stages
    awaits = Stage.ASSESSMENT in stages and stages.index(case.stage) <= stages.index(Stage.ASSESSMENT)
    if definition.checks and (begun_in is None or (awaits and begun_in < case.round)):
        return {check.key: CheckStatus.RUNNING for check in definition.checks}
    found = await work.session.execute(
        select(col(Check.kind), col(Check.status)).where(
            col(Check.case_id) == case.id,
            col(Check.round) == begun_in,
            col(Check.kind).in_([check.key for check in definition.checks]),
        )
    )
    return {row.kind: row.status for row in found}


async def _advices(work: Work, case: Case) -> dict[str, str]:
    """Of each adviser the last word, of this round or an earlier one."""
    found = await work.session.execute(
        select(col(Advice.adviser), col(Advice.status))
        .where(col(Advice.case_id) == case.id, col(Advice.status) != AdviceStatus.WITHDRAWN)
        .order_by(col(Advice.round))
    )
    return {row.adviser: row.status for row in found}


async def _claims(work: Work, case: Case, year: int) -> dict[str, str]:
    """Who has it now: what another case let go meanwhile is neither this one's nor taken."""
    claimed: dict[str, str | None] = case.facts.get(CLAIMED) or {}
    standing = dict.fromkeys(claimed, "ABSENT")
    for benefit, subject in claimed.items():
        if subject is None:
            continue
        holder: Any = await work.session.scalar(
            select(col(Entitlement.case_id)).where(
                col(Entitlement.procedure_key) == case.procedure_key,
                col(Entitlement.benefit) == benefit,
                col(Entitlement.subject_index) == bytes.fromhex(subject),
                col(Entitlement.year) == year,
            )
        )
        if holder is not None:
            standing[benefit] = "FREE" if holder == case.id else "TAKEN"
    return standing


# --- who else ---------------------------------------------------------------------------------


async def _co_applicant(work: Work, case: Case) -> str | None:
    """What they said last; a question that is open, or was taken back, is no answer."""
    return await work.session.scalar(
        select(col(CoApplication.status))
        .where(
            col(CoApplication.case_id) == case.id,
            col(CoApplication.status).not_in((CoApplicationStatus.ASKED, CoApplicationStatus.WITHDRAWN)),
        )
        .order_by(col(CoApplication.round).desc())
        .limit(1)
    )
