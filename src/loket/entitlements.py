"""Who gets a benefit this year: an address or a person gets it once, whoever asks it and however often.

The database holds it: of two who claim at the same moment the second waits here for the first, and is told
that it is taken.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket.definition import Benefit
from loket.facts import CHECKED_IN, CLAIMED, facts_of, submitted_on
from loket.lifecycle import CheckStatus
from loket.records import Case, Check, Entitlement, Person
from loket.rules import Facts, Outcome, weigh
from loket.spelling import address_line
from loket.work import Work


async def claim(work: Work, case: Case) -> None:
    """Claim what the application asks for the year in which it was handed in; `facts.claims` says who has it.

    Done again whenever more is known (a child's check was met, an address was looked up), and before a
    decision: what another case let go meanwhile can be had.
    """
    definition = work.definition(case)
    if not definition.benefits:
        return
    facts = await facts_of(work, case)
    wanted = {
        benefit.key: await _subject(work, case, benefit, facts)
        # every case claims in the same order: so no two wait for each other
        for benefit in sorted(definition.benefits, key=lambda one: one.key)
        if is_asked(benefit, facts) is not Outcome.NOT_MET
    }
    await _let_go_of_others(work, case, wanted)
    for benefit, subject in wanted.items():
        if subject is not None:
            row = insert(Entitlement).values(
                procedure_key=case.procedure_key,
                benefit=benefit,
                subject_index=subject,
                year=submitted_on(case).year,
                case_id=case.id,
            )
            await work.session.execute(row.on_conflict_do_nothing())
    case.facts = {
        **case.facts,
        CLAIMED: {benefit: subject.hex() if subject else None for benefit, subject in wanted.items()},
    }


async def release(work: Work, case: Case, *benefits: str) -> None:
    """The case does not get them (all, when none is named): another may."""
    mine = delete(Entitlement).where(col(Entitlement.case_id) == case.id)
    await work.session.execute(mine.where(col(Entitlement.benefit).in_(benefits)) if benefits else mine)


def is_asked(benefit: Benefit, facts: Facts) -> Outcome:
    """Whether this application asks it."""
    return Outcome.MET if benefit.asked is None else weigh(benefit.asked, facts).outcome


async def _subject(work: Work, case: Case, benefit: Benefit, facts: Facts) -> bytes | None:
    """Keyed index of whom or what there is one a year of; None where that is not known (yet)."""
    if is_asked(benefit, facts) is not Outcome.MET:
        return None
    if benefit.per == "applicant":
        present: str | None = (case.facts.get("person") or {}).get("index")
        if present is not None:  # of the number that they have now: another record may have it
            return bytes.fromhex(present)
        person = await work.session.get_one(Person, case.person_id)
        return person.insz_index
    if benefit.per == "child":
        return await _child(work, case, benefit)
    address = (case.facts.get("person") or {}).get("address") or {}
    if not address.get("street") or not address.get("number"):
        return None
    return work.vault.index("address", address_line(address))


async def _child(work: Work, case: Case, benefit: Benefit) -> bytes | None:
    """The child that the check was met for; with a document in its place, the only child that there is."""
    found = await work.session.scalars(
        select(Check).where(
            col(Check.case_id) == case.id,
            col(Check.kind) == benefit.check,
            col(Check.round) == case.facts.get(CHECKED_IN),
        )
    )
    check = found.one_or_none()
    if check is not None and check.status is CheckStatus.MET:
        return check.subject_index
    children = (case.facts.get("household") or {}).get("children") or []
    if check is not None and check.status is CheckStatus.REPLACED and len(children) == 1:
        return bytes.fromhex(children[0]["index"])
    return None


async def _let_go_of_others(work: Work, case: Case, wanted: dict[str, bytes | None]) -> None:
    """Who moved, or has another child in mind, does not keep what was claimed before."""
    found = await work.session.scalars(select(Entitlement).where(col(Entitlement.case_id) == case.id))
    for kept in found.all():
        if wanted.get(kept.benefit) != kept.subject_index:
            await work.session.delete(kept)
    await work.session.flush()
