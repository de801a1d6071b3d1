"""Asking the authentic sources about a person: registration first, then person and household.

Outside any transaction: MAGDA may take its time. What it answers is kept by the verbs.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlmodel import col

from loket.accesslog import Purpose, consulting
from loket.app import Loket
from loket.errors import Declined, Failed, Unavailable
from loket.records import MagdaRegistration, Person, RegistrationState
from loket.sources import Answers
from loket.systems.magda import FamilyFacts, NotRegistered, PersonFacts
from loket.work import Actor

logger = logging.getLogger(__name__)

BRIEF_SECONDS = 4.0
REGISTERED_FOR = timedelta(days=365)


@dataclass(frozen=True)
class Consultation:
    """What came of it. `unavailable`: ask again later. `code` says in short what was wrong."""

    answers: Answers
    code: str
    reference: str
    unavailable: Unavailable | None = None


async def consult(
    loket: Loket,
    actor: Actor,
    person_id: UUID,
    purpose: str,
    *,
    case_id: UUID | None = None,
    briefly: bool = False,
) -> Consultation:
    """Ask MAGDA about a citizen for one procedure. Never raises `Failed`: that is a value here.

    `briefly`: a citizen waits for the answer, so after `BRIEF_SECONDS` the form is filled in by hand.
    """
    async with loket.database.transaction() as session:
        person = await session.get_one(Person, person_id)
        found = await session.scalars(
            select(MagdaRegistration).where(
                col(MagdaRegistration.person_id) == person_id, col(MagdaRegistration.purpose) == purpose
            )
        )
        registration = found.one_or_none()
    now = datetime.now(UTC)
    nothing = Answers(None, None, now)
    if person.insz_sealed is None or not loket.settings.magda.url:
        return Consultation(
            nothing, "NO_NATIONAL_NUMBER" if person.insz_sealed is None else "NOT_CONNECTED", ""
        )
    insz = loket.vault.open(person.insz_sealed)
    reference = str(uuid4())
    with consulting(Purpose(person_id, actor, purpose, case_id)):
        try:
            async with asyncio.timeout(BRIEF_SECONDS if briefly else None):
                if registration is None or registration.state is not RegistrationState.REGISTERED:
                    await _register(loket, insz, person_id, purpose)
                try:
                    told, family, replaced_by = await _ask(loket, insz, reference)
                except NotRegistered:
                    await _register(loket, insz, person_id, purpose)
                    told, family, replaced_by = await _ask(loket, insz, reference)
        except TimeoutError:
            return Consultation(nothing, "TIMEOUT", reference, unavailable=Unavailable("magda", "too slow"))
        except Unavailable as fault:
            logger.info("MAGDA is not available: %s", fault.reason)
            return Consultation(nothing, "UNAVAILABLE", reference, unavailable=fault)
        except Declined as fault:
            return Consultation(nothing, fault.reason[:200], reference)
        except Failed as fault:
            return Consultation(nothing, fault.reason[:200], reference)
    return Consultation(Answers(told, family, now, replaced_by), "ANSWERED", reference)


async def _ask(loket: Loket, insz: str, reference: str) -> tuple[PersonFacts, FamilyFacts, str | None]:
    """Person and household; of a replaced number also the new one, to which the registration goes over."""
    magda = loket.systems.magda
    told = await magda.get_person(insz, reference=reference)
    replaced_by = told.replaced_by
    if replaced_by is None:
        return told, await magda.get_family(insz, reference=str(uuid4())), None
    today = datetime.now(UTC).date()
    await magda.register(replaced_by, reference=str(uuid4()), begins_on=today, ends_on=today + REGISTERED_FOR)
    told = await magda.get_person(replaced_by, reference=str(uuid4()))
    family = await magda.get_family(replaced_by, reference=str(uuid4()))
    await magda.unregister(insz, reference=str(uuid4()), begins_on=today, ends_on=today)
    return told, family, replaced_by


async def _register(loket: Loket, insz: str, person_id: UUID, purpose: str) -> None:
    today = datetime.now(UTC).date()
    await loket.systems.magda.register(
        insz, reference=str(uuid4()), begins_on=today, ends_on=today + REGISTERED_FOR
    )
    async with loket.database.transaction() as session:
        await session.execute(
            update(MagdaRegistration)
            .where(
                col(MagdaRegistration.person_id) == person_id,
                col(MagdaRegistration.purpose) == purpose,
                col(MagdaRegistration.state) == RegistrationState.WANTED,
            )
            .values(state=RegistrationState.REGISTERED)
        )
