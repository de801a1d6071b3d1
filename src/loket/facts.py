"""What the rules may read of a case, gathered from all that is kept of it."""

from datetime import date
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import pricing
from loket.definition import Definition
from loket.lifecycle import AdviceStatus, CheckStatus, Stage
from loket.records import Advice, Application, Case, Check, Entitlement, Json
from loket.rules import Address, Applicant, Child, Facts, Household, Municipality, Quota
from loket.sources import age, fresh
from loket.terms import BRUSSELS
from loket.work import Work

DEPENDENT_YEARS = 18
CHECKED_IN = "checks_round"
"""Among the facts of a case: the round in which its checks were last begun."""
CLAIMED = "claims"
"""Among the facts of a case: of each benefit that is asked, whom it is claimed for (keyed index in hex)."""


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
        applicant=_applicant(work, case, reference),
        household=_household(work, case, reference, quota),
        cart=pricing.cart_lines(application.cart),
        quota=Quota(sourced=bool(quota), within_maximum=quota.get("within_maximum")),
        sources_complete=all(fresh(case.facts, part, work.now) for part in ("person", "household")),
        reference_date=reference,
        window_open=definition.window.holds(handed_in_on) if definition.window else None,
        tables={key: float(value) for key, value in definition.figures(reference).items()},
        checks=await _checks(work, case, definition),
        advices=await _advices(work, case),
        claims=await _claims(work, case, handed_in_on.year),
    )


def submitted_on(case: Case) -> date:
    """The day in Belgium."""
    return case.submitted_at.astimezone(BRUSSELS).date()


def _applicant(work: Work, case: Case, reference: date) -> Applicant:
    person = case.facts.get("person") or {}
    sourced = fresh(case.facts, "person", work.now)
    birth_on, address = _day(person.get("birth_on")), person.get("address") or {}
    return Applicant(
        sourced=sourced,
        age=age(birth_on, work.today) if birth_on else None,
        deceased=bool(person.get("deceased_on")) if sourced else None,
        address=Address(
            **{k: address.get(k) for k in ("street", "number", "box", "postal_code", "city", "nis")}
        ),
        resident_since=_day(address.get("since")),
        resident_on_reference_date=_resided(address, reference, work.settings.municipality.nis),
    )


def _resided(address: Json, reference: date, nis: str) -> bool | None:
    """Who came to the present address later may have lived at another one in the municipality: unknown."""
    since = _day(address.get("since"))
    return address.get("nis") == nis if since is not None and since <= reference else None


def _household(work: Work, case: Case, reference: date, quota: Json) -> Household:
    household = case.facts.get("household") or {}
    kept = household.get("children")
    births = None if kept is None else [_day(one["birth_on"]) for one in kept]
    children = (
        None
        if births is None
        else [
            Child(age(one, work.today), age(one, reference)) if one is not None else Child() for one in births
        ]
    )
    return Household(
        sourced=fresh(case.facts, "household", work.now),
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
