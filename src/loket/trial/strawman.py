"""Who is put in the place of everybody when a case is tried dry: the applicant, the sources, the staff.

They exist in the transaction that is rolled back, and nowhere else.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from uuid_utils.compat import uuid7

from loket import applications, orders
from loket.definition import Definition
from loket.lifecycle import Role
from loket.records import (
    ActorKind,
    Application,
    Case,
    Channel,
    Document,
    Entitlement,
    Json,
    Person,
    Quota,
)
from loket.settings import Municipality
from loket.sources import CHILD, Answers
from loket.systems.magda import Address, FamilyFacts, Member, PersonFacts
from loket.systems.planning import SlotOffer, SlotStatus
from loket.terms import BRUSSELS
from loket.trial.casefile import CaseFile, merged
from loket.trial.samples import completed, sample_answers
from loket.work import Actor, Work

_TEST_MONTH = 60
"""Added to the month of a national number that nobody has."""
_SERIALS = 997
_RESIDENT_YEARS = 10


@dataclass(frozen=True)
class Straw:
    """The citizen, and those who work on the case."""

    citizen: Actor
    counter: Actor
    handler: Actor
    approver: Actor
    director: Actor
    """Who signs for the credit."""
    driver: Actor
    adviser: Actor
    insz: str
    children: tuple[tuple[str, date], ...]
    """National number and birth date of each."""


def cast(case: CaseFile, today: date) -> Straw:
    """Everybody, of `today`. Each time other people, so that none waits for another's lock."""
    facts, language = case.facts, case.application.language
    name = f"{facts.applicant.given_name} {facts.applicant.family_name}"

    births = [_born(one, today) for one in facts.household.children]

    def staff(title: str, *roles: Role) -> Actor:
        return Actor(ActorKind.STAFF, title, frozenset(roles), id=uuid7(), language="nl")

    return Straw(
        citizen=Actor(ActorKind.CITIZEN, name, frozenset({Role.APPLICANT}), id=uuid7(), language=language),
        counter=staff("Loket (proef)", Role.HANDLER),
        handler=staff("Behandelaar (proef)", Role.HANDLER),
        approver=staff("Financiën (proef)", Role.FINANCE),
        director=staff("Financieel directeur (proef)", Role.FINANCE),
        driver=staff("Chauffeur (proef)", Role.FIELD_WORKER),
        adviser=staff("Adviseur (proef)", Role.ADVISER, Role.HANDLER),
        insz=_number(_born(facts.applicant.age, today)),
        children=tuple((_number(born), born) for born in births),
    )


def _born(age: int, today: date) -> date:
    """Some day on which somebody of that age can have been born."""
    return today - timedelta(days=age * 365.25 + random.randint(2, 360))  # noqa: S311  # no secret


def _number(born_on: date) -> str:
    serial = random.randint(1, _SERIALS)  # noqa: S311  # as above
    nine = f"{born_on:%y}{born_on.month + _TEST_MONTH:02}{born_on:%d}{serial:03}"
    return f"{nine}{97 - int(('2' if born_on.year >= 2000 else '') + nine) % 97:02}"


# --- applying ---------------------------------------------------------------------------------


async def applies(work: Work, definition: Definition, case: CaseFile, straw: Straw) -> Case:
    """Fill in and hand in, as a citizen or the counter would.

    Raises:
        Refused, ManyRefused: as whoever fills in would hear it; paths begin with `application`.
    """
    filled, facts = case.application, case.facts
    counter = filled.channel is Channel.COUNTER
    person = await work.session.get(Person, straw.citizen.id) or _person(work, case, straw)
    work.session.add(person)
    await work.session.flush()
    acting = work.as_actor(straw.counter if counter else straw.citizen)
    application = await applications.begin(acting, definition, person, filled.channel)
    if facts.sources == "ANSWER":
        answers = told(work, case, straw)
        application = await applications.remember_sources(acting, application.id, answers)
        _ordered_before(work, definition, case, application)
    given = merged(applications.given_in(acting, application), filled.answers)
    if filled.complete:
        given = completed(definition, merged(sample_answers(definition, work.today), given), work.today)
    await applications.set_answers(acting, application, given)
    if (cart := _cart(definition, case)) is not None:
        await applications.set_cart(acting, application, cart)
    required = tuple(one.key for one in definition.documents if one.required) if filled.complete else ()
    for kind in required if filled.documents is None else filled.documents:
        work.session.add(_document(work, application, kind))
    await work.session.flush()
    return await applications.submit(acting, application)


def _person(work: Work, case: CaseFile, straw: Straw) -> Person:
    who = case.facts.applicant
    return Person(
        id=straw.citizen.id or uuid7(),
        insz_sealed=work.vault.seal(straw.insz),
        insz_index=work.vault.index("insz", straw.insz),
        given_name=who.given_name,
        family_name=who.family_name,
        email=who.email,
        phone=who.phone,
        language=case.application.language,
        by_sms=who.by_sms,
        by_letter=who.by_letter,
        created_at=work.now,
    )


def _cart(definition: Definition, case: CaseFile) -> list[Json] | None:
    if definition.catalogue is None:
        return None if not case.application.cart else [one.model_dump() for one in case.application.cart]
    if case.application.cart is None:
        return [{"product": definition.catalogue.products[0].key, "quantity": 1, "options": {}}]
    return [one.model_dump() for one in case.application.cart]


def _document(work: Work, application: Application, kind: str) -> Document:
    return Document(
        person_id=application.person_id,
        application_id=application.id,
        kind=kind,
        filename=f"{kind}.pdf",
        media_type="application/pdf",
        size=1,
        sha256="0" * 64,
        created_at=work.now,
        stored_at=work.now,
    )


# --- what the sources say ---------------------------------------------------------------------


def told(work: Work, case: CaseFile, straw: Straw) -> Answers:
    """What MAGDA would answer now."""
    who, family = case.facts.applicant, case.facts.household
    born_on = _born_on(straw.insz)
    person = PersonFacts(
        insz=straw.insz,
        given_names=(who.given_name,),
        family_name=who.family_name,
        birth_on=born_on,
        deceased_on=work.today if who.deceased else None,
        address=_home(work.settings.municipality, case, work.today),
        replaced_by=None,
        warnings=(),
    )
    adults = max(family.members - len(straw.children), 1)
    others = [Member(None, "Huisgenoot", None, "02" if one == 0 else "12") for one in range(adults - 1)]
    children = [Member(number, "Kind", born, CHILD) for number, born in straw.children]
    head = Member(straw.insz, f"{who.given_name} {who.family_name}", born_on, "01")
    return Answers(person, FamilyFacts((head, *others, *children), straw.insz, None, ()), work.now)


def _born_on(insz: str) -> date:
    year, month, day = int(insz[:2]), int(insz[2:4]) - _TEST_MONTH, int(insz[4:6])
    later = int(insz[9:]) == 97 - int("2" + insz[:9]) % 97
    return date((2000 if later else 1900) + year, month, day)


def _home(municipality: Municipality, case: CaseFile, today: date) -> Address:
    who = case.facts.applicant
    here = who.nis in (None, municipality.nis)
    return Address(
        street=who.street,
        number=who.number,
        box=None,
        postal_code=who.postal_code or (municipality.postal_code if here else "1000"),
        city=who.city or (municipality.city if here else "Elders"),
        nis=who.nis or municipality.nis,
        country="150",
        since=who.resident_since or today.replace(year=today.year - _RESIDENT_YEARS, day=1),
    )


def _ordered_before(work: Work, definition: Definition, case: CaseFile, application: Application) -> None:
    """What the household ordered in other cases."""
    household, facts = application.household_index, case.facts
    if household is None:
        return
    ever = {
        one: max(facts.ordered_ever.get(one, 0), number) for one, number in facts.ordered_this_year.items()
    }
    for period, counts in (
        (work.today.year, facts.ordered_this_year),
        (orders.EVER, facts.ordered_ever | ever),
    ):
        for product, quantity in counts.items():
            work.session.add(
                Quota(
                    procedure_key=definition.key,
                    product=product,
                    household_index=household,
                    period=period,
                    quantity=quantity,
                )
            )


def taken(case: Case, benefit: str, subject: bytes) -> Entitlement:
    """That another case has a benefit for the year."""
    return Entitlement(
        procedure_key=case.procedure_key,
        benefit=benefit,
        subject_index=subject,
        year=case.submitted_at.astimezone(BRUSSELS).year,
        case_id=uuid7(),
    )


# --- the planning tool ------------------------------------------------------------------------


def offers(today: date, days: int) -> Sequence[SlotOffer]:
    """A van each morning of the next `days`, with room for all."""
    return [_offer(today + timedelta(days=one)) for one in range(1, days + 1)]


def _offer(day: date) -> SlotOffer:
    return SlotOffer(
        id=f"proef-{day}",
        starts_at=datetime.combine(day, time(8), BRUSSELS),
        ends_at=datetime.combine(day, time(12), BRUSSELS),
        capacity=1000,
        taken=0,
        area="",
        status=SlotStatus.OPEN,
        version=1,
    )
