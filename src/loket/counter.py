"""Applications that staff enter for somebody at the counter, who needs no sign-in, no e-mail and no phone.

With a national number it is an application like any other: the sources are asked, its citizen sees it online.
Without one the applicant is a person apart, of whom nothing is looked up: the rules leave the case to a
handler, and what is told goes by letter where nothing else reaches them.
"""

import re
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import accesslog, applications, people, sources, uploads
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.lifecycle import ApplicationStatus, Role
from loket.numbers import is_national_number
from loket.records import Application, Channel, Json, Person
from loket.sources import Answers
from loket.uploads import Announced, Upload
from loket.work import Work

MAX_OPEN_AT_COUNTER = 200
"""Drafts per member of staff: what is not finished with the visitor is handed in soon, or thrown away."""
LONGEST_NAME = 100
LONGEST_ADDRESS_PART = 100
OLDEST_YEARS = 130
_SEPARATORS = re.compile(r"[ .\-]")


@dataclass(frozen=True)
class Visitor:
    """Who stands at the counter, as far as they say; `national_number` as on the identity card."""

    given_name: str
    family_name: str
    national_number: str | None = None
    birth_on: date | None = None
    address: Json | None = None
    """street, number, box, postal_code, city; all text."""
    email: str | None = None
    phone: str | None = None
    language: str | None = None
    by_letter: bool | None = None
    """Whether letters are wanted in the place of e-mails and text messages; None: as it was."""


async def start(work: Work, procedure_key: str, visitor: Visitor) -> Application:
    """Open a draft for a visitor.

    Raises:
        Refused: NOT_ALLOWED for who handles no cases of its department; NOT_FOUND for a procedure that is not
            offered today; TOO_LARGE with too many open drafts.
        ManyRefused: every fault in what was said of the visitor.
    """
    if not work.actor.is_staff or Role.HANDLER not in work.actor.roles:
        raise Refused(ErrorCode.NOT_ALLOWED)
    definition = await applications.choose(work, procedure_key)
    if Role.HANDLER not in work.actor.roles_at(definition.department.nl):
        raise Refused(ErrorCode.NOT_ALLOWED)
    number = _checked(work, visitor)
    await _bound(work)
    person = await _person(work, visitor, number)
    if number is not None:
        await accesslog.looked(work, person.id, definition.key)
    application = await applications.begin(work, definition, person, Channel.COUNTER)
    if number is None:
        _unsource(application)
    return application


async def remember_sources(work: Work, application_id: UUID, answers: Answers) -> Application:
    """Fill the draft with what MAGDA said of the visitor; what was said at the counter has no source."""
    application = await applications.remember_sources(work, application_id, answers)
    _unsource(application)
    return application


async def start_upload(work: Work, application: Application, announced: Announced) -> Upload:
    """Announce a file that the visitor brought: part of this draft once its content is there.

    Raises:
        Refused: as `uploads.start_upload`.
    """
    await uploads.check_number(work, application)
    uploads.check_kind(work.definition(application), announced.kind, ["input", "kind"])
    upload = await uploads.announce(work, application.person_id, announced)
    upload.document.application_id = application.id
    return upload


def _checked(work: Work, visitor: Visitor) -> str | None:
    """The eleven digits of the national number, where there is one."""
    faults: list[Refused] = []

    def wrong(field: str, reason: str) -> None:
        faults.append(Refused(ErrorCode.VALIDATION, path=["input", field], reason=reason))

    for field, name in (("givenName", visitor.given_name), ("familyName", visitor.family_name)):
        if len(name) > LONGEST_NAME or not name.isprintable():
            wrong(field, f"a name of 1 to {LONGEST_NAME} characters")
        elif not name.strip():
            faults.append(Refused(ErrorCode.REQUIRED, path=["input", field]))
    if visitor.birth_on and not 0 <= sources.age(visitor.birth_on, work.today) <= OLDEST_YEARS:
        wrong("birthDate", "a day in the past")
    if visitor.language is not None and visitor.language not in people.LANGUAGES:
        wrong("language", ", ".join(people.LANGUAGES))
    for part in (visitor.address or {}).values():
        if part is not None and (len(part) > LONGEST_ADDRESS_PART or not part.isprintable()):
            wrong("address", f"at most {LONGEST_ADDRESS_PART} characters each")
    address = visitor.address
    if address is not None and not all(address[one].strip() for one in ("street", "postal_code", "city")):
        faults.append(Refused(ErrorCode.REQUIRED, path=["input", "address"]))
    number = _SEPARATORS.sub("", visitor.national_number) if visitor.national_number is not None else None
    if number is not None and not is_national_number(number):
        wrong("nationalNumber", "eleven digits of which the last two check the others")
    if faults:
        raise ManyRefused(faults)
    return number


async def _bound(work: Work) -> None:
    open_ = await work.session.scalar(
        select(func.count())
        .select_from(Application)
        .where(
            col(Application.staff_id) == work.actor.id,
            col(Application.status) == ApplicationStatus.DRAFT,
        )
    )
    if int(open_ or 0) >= MAX_OPEN_AT_COUNTER:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_OPEN_AT_COUNTER} drafts")


async def _person(work: Work, visitor: Visitor, number: str | None) -> Person:
    """Whose number it is; without one a person of its own: two who share a name are never made one."""
    if number is None:
        person = Person(created_at=work.now)
        work.session.add(person)
    else:
        person = await sources.of_number(work, work.vault.seal(number), work.vault.index("insz", number))
    people.introduce(
        person,
        given_name=visitor.given_name,
        family_name=visitor.family_name,
        birth_on=visitor.birth_on,
        address=visitor.address,
        email=visitor.email,
        phone=visitor.phone,
        language=visitor.language,
        by_letter=visitor.by_letter,
    )
    await work.session.flush()
    return person


def _unsource(application: Application) -> None:
    """Names that were said at the counter are no sign-in's: they stand in the form as somebody's words."""
    application.prefill = [one for one in application.prefill if not one["source"].startswith("acmidm.")]
