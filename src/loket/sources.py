"""What authentic sources said of an applicant: kept with source and time, minimal, and let go in time.

Nothing here asks them: that is done outside any transaction (`consultation`).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col

from loket.definition import Definition
from loket.records import (
    Application,
    Case,
    EffectKind,
    Entitlement,
    Json,
    MagdaRegistration,
    MagdaUse,
    Person,
    RegistrationState,
)
from loket.systems.magda import FamilyFacts, PersonFacts
from loket.work import Work

CHILD = "03"
"""Position in the household: son or daughter of the reference person."""
PARENTS = frozenset({"01", "02"})
"""Positions in the household: reference person, husband or wife of that person."""
CHILD_YEARS = 26
"""Children who are older depend on nobody any more; nothing is kept of them."""
FRESH = timedelta(hours=24)
"""Older facts are asked again before anything is decided on them."""


@dataclass(frozen=True)
class Answers:
    """What MAGDA answered at `at`; a part is None when its source did not answer."""

    person: PersonFacts | None
    family: FamilyFacts | None
    at: datetime
    replaced_by: str | None = None
    """The national number that this person has now, where it is another one."""

    @property
    def complete(self) -> bool:
        return self.person is not None and self.family is not None


async def want(work: Work, person: Person, purpose: str, subject: UUID) -> MagdaRegistration:
    """Say that a draft or case needs this person followed for `purpose`."""
    row = insert(MagdaRegistration).values(
        id=subject, person_id=person.id, purpose=purpose, state=RegistrationState.WANTED, began_on=work.today
    )
    await work.session.execute(row.on_conflict_do_nothing(index_elements=["person_id", "purpose"]))
    found = await work.session.scalars(
        select(MagdaRegistration)
        .where(col(MagdaRegistration.person_id) == person.id, col(MagdaRegistration.purpose) == purpose)
        .with_for_update(key_share=True)
    )
    registration = found.one()
    if registration.state is RegistrationState.ENDED:
        registration.state, registration.began_on, registration.ended_at = (
            RegistrationState.WANTED,
            work.today,
            None,
        )
    use = insert(MagdaUse).values(registration_id=registration.id, subject_id=subject)
    await work.session.execute(use.on_conflict_do_nothing())
    return registration


async def let_go(work: Work, person_id: UUID, purpose: str, subject: UUID) -> None:
    """A draft or case needs the registration no more; with the last one it ends at MAGDA too."""
    found = await work.session.scalars(
        select(MagdaRegistration)
        .where(col(MagdaRegistration.person_id) == person_id, col(MagdaRegistration.purpose) == purpose)
        .with_for_update(key_share=True)
    )
    registration = found.one_or_none()
    if registration is None:
        return
    await work.session.execute(
        delete(MagdaUse).where(
            col(MagdaUse.registration_id) == registration.id, col(MagdaUse.subject_id) == subject
        )
    )
    still = await work.session.scalar(
        select(col(MagdaUse.subject_id)).where(col(MagdaUse.registration_id) == registration.id).limit(1)
    )
    if still is None and registration.state is not RegistrationState.ENDED:
        was_registered = registration.state is RegistrationState.REGISTERED
        registration.state, registration.ended_at = RegistrationState.ENDED, work.now
        if was_registered:
            await work.leave(
                EffectKind.MAGDA_UNREGISTER,
                {
                    "person_id": str(person_id),
                    "purpose": purpose,
                    "began_on": registration.began_on.isoformat(),
                },
            )


async def let_all_go(work: Work, purpose: str, subject: UUID) -> None:
    """A draft or case has ended: it needs nobody's registration any more."""
    people = await work.session.scalars(
        select(col(MagdaRegistration.person_id))
        .join(MagdaUse, col(MagdaUse.registration_id) == col(MagdaRegistration.id))
        .where(col(MagdaUse.subject_id) == subject, col(MagdaRegistration.purpose) == purpose)
        .order_by(col(MagdaRegistration.person_id))
    )
    for person_id in people.all():
        await let_go(work, person_id, purpose, subject)


async def learn(work: Work, subject: Application | Case, person: Person, answers: Answers) -> None:
    """Keep what the sources said: on the draft or case for its rules, on the person for whom we write to."""
    _remember(work, subject, answers)
    told = subject.facts.get("person")
    if told:
        person.given_name = told.get("first_name") or person.given_name
        person.family_name = told.get("last_name") or person.family_name
        person.address = told.get("address") or person.address
        if told.get("deceased_on"):
            person.deceased_on = date.fromisoformat(told["deceased_on"])
    if answers.replaced_by is not None:
        await replace_number(work, person, answers.replaced_by)


def _remember(work: Work, subject: Application | Case, answers: Answers) -> None:
    """Keep what the sources said, as rules and forms need it; nothing more."""
    facts = dict(subject.facts)
    if answers.person is not None:
        facts["person"] = _person(answers.person, answers.at)
        facts["person"]["number_replaced"] = answers.replaced_by is not None
        if answers.replaced_by is not None:
            facts["person"]["index"] = work.vault.index("insz", answers.replaced_by).hex()
    if answers.family is not None:
        members = [member for member in answers.family.members if member.insz]
        head = answers.family.reference_person or min((member.insz or "" for member in members), default="")
        facts["household"] = {
            "source": "magda",
            "fetched_at": answers.at.isoformat(),
            "members": len(answers.family.members),
            "children": _children(work, answers),
        }
        if head:
            subject.household_index = work.vault.index("household", head)
    subject.facts = facts


async def replace_number(work: Work, person: Person, insz: str) -> None:
    """The person has another national number now; a record that has it already keeps it.

    What was given under the former number was given under this one: no year brings it twice.
    """
    index = work.vault.index("insz", insz)
    if person.insz_index is not None:
        await _claims_go_over(work, person.insz_index, index)
    taken = await work.session.scalar(select(col(Person.id)).where(col(Person.insz_index) == index))
    if taken is None:
        person.former_insz_index = person.insz_index
        person.insz_sealed, person.insz_index = work.vault.seal(insz), index


async def _claims_go_over(work: Work, former: bytes, index: bytes) -> None:
    """What was claimed under both numbers stays with the new one's case."""
    held = aliased(Entitlement)
    twice = exists().where(
        col(held.procedure_key) == col(Entitlement.procedure_key),
        col(held.benefit) == col(Entitlement.benefit),
        col(held.year) == col(Entitlement.year),
        col(held.subject_index) == index,
    )
    await work.session.execute(
        update(Entitlement)
        .where(col(Entitlement.subject_index) == former, ~twice)
        .values(subject_index=index)
        .execution_options(synchronize_session=False)
    )


def _children(work: Work, answers: Answers) -> list[Json] | None:
    """Of the applicant's children what checks need; None where it cannot be told whose the children are.

    Birth date, keyed index and sealed number of each: nothing else.
    """
    members = answers.family.members if answers.family else ()
    own = answers.person.insz if answers.person else None
    position = next((member.position for member in members if member.insz == own), None)
    if own is None or position is None:
        return None
    if position not in PARENTS:
        return []
    return [
        {
            "birth_on": member.birth_on.isoformat() if member.birth_on else None,
            "index": work.vault.index("insz", member.insz).hex(),
            "sealed": work.vault.seal(member.insz).hex(),
        }
        for member in members
        if member.position == CHILD
        and member.insz
        and (member.birth_on is None or age(member.birth_on, answers.at.date()) < CHILD_YEARS)
    ]


def age(birth_on: date, on: date) -> int:
    """In whole years; negative before the birth."""
    return on.year - birth_on.year - ((on.month, on.day) < (birth_on.month, birth_on.day))


async def of_number(work: Work, sealed: bytes, index: bytes) -> Person:
    """The person with this national number, met for the first time or known already."""
    known = select(Person).where((col(Person.insz_index) == index) | (col(Person.former_insz_index) == index))
    person = (await work.session.scalars(known)).one_or_none()
    if person is None:
        row = insert(Person).values(insz_sealed=sealed, insz_index=index, created_at=work.now)
        await work.session.execute(row.on_conflict_do_nothing(index_elements=["insz_index"]))
        person = (await work.session.scalars(known)).one()
    return person


def fresh(facts: Json, part: str, now: datetime) -> bool:
    told = facts.get(part)
    return told is not None and now - datetime.fromisoformat(told["fetched_at"]) < FRESH


def prefill(definition: Definition, application: Application, person: Person, at: datetime) -> None:
    """Fill the empty fields of the form with what is known, each with its source and time."""
    known = _known(application, person)
    filled = {entry["field"]: entry for entry in application.prefill}
    answers: dict[str, Any] = dict(application.answers)
    for one in definition.form.prefill:
        source = one.source if known.get(one.source) is not None else one.fallback
        value = known.get(source) if source else None
        if value is None:
            continue
        pointer = one.field.strip("/").split("/")
        present = read(answers, pointer)
        earlier = filled.get(one.field)
        if present in (None, "") or (earlier is not None and earlier["value"] == present):
            answers = write(answers, pointer, value)
            filled[one.field] = {
                "field": one.field,
                "value": value,
                "source": source,
                "fetched_at": at.isoformat(),
                "editable": one.editable,
            }
    application.answers = answers
    application.prefill = list(filled.values())


def read(answers: Any, pointer: list[str]) -> Any:  # noqa: ANN401  # JSON
    for step in pointer:
        if not isinstance(answers, dict) or step not in answers:
            return None
        answers = answers[step]
    return answers


def write(answers: dict[str, Any], pointer: list[str], value: object) -> dict[str, Any]:
    """A copy of `answers` with `value` at `pointer`."""
    head, *rest = pointer
    inner = answers.get(head)
    return {
        **answers,
        head: write(inner if isinstance(inner, dict) else {}, rest, value) if rest else value,
    }


def _known(application: Application, person: Person) -> dict[str, Any]:
    name = f"{person.given_name} {person.family_name}".strip()
    known: dict[str, Any] = {
        "acmidm.first_name": person.given_name or None,
        "acmidm.last_name": person.family_name or None,
        "acmidm.name": name or None,
        "contact.email": person.email,
        "contact.phone": person.phone,
    }
    told = application.facts.get("person")
    if told:
        known |= {
            "magda.person.first_name": told.get("first_name"),
            "magda.person.last_name": told.get("last_name"),
            "magda.person.name": f"{told.get('first_name') or ''} {told.get('last_name') or ''}".strip()
            or None,
            "magda.person.birth_date": told.get("birth_on"),
        }
        known |= {
            f"magda.person.address.{part}": (told.get("address") or {}).get(part)
            for part in ("street", "number", "box", "postal_code", "city", "nis")
        }
    return known


def _person(told: PersonFacts, at: datetime) -> Json:
    address = told.address
    return {
        "source": "magda",
        "fetched_at": at.isoformat(),
        "first_name": told.given_names[0] if told.given_names else None,
        "last_name": told.family_name,
        "birth_on": told.birth_on.isoformat() if told.birth_on else None,
        "deceased_on": told.deceased_on.isoformat() if told.deceased_on else None,
        "address": {
            "street": address.street,
            "number": address.number,
            "box": address.box,
            "postal_code": address.postal_code,
            "city": address.city,
            "nis": address.nis,
            "country": address.country,
            "since": address.since.isoformat() if address.since else None,
        }
        if address
        else None,
    }
