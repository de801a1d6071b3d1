"""What a citizen fills in: started, prefilled, saved, resumed anywhere, handed in once (aanvraag)."""

from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlmodel import col

from loket import (
    accounts,
    cases,
    co_applicants,
    duplicates,
    enclosures,
    entitlements,
    forms,
    orders,
    payout_accounts,
    people,
    pricing,
    publications,
    sources,
)
from loket.channels.sms import e164
from loket.definition import Definition
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.facts import of_application
from loket.forms import FieldFault
from loket.lifecycle import APPLICATION, Action, ApplicationStatus, PartAction, Role, TimerKind
from loket.records import (
    ActorKind,
    Application,
    Case,
    Channel,
    Document,
    DocumentContent,
    Json,
    Person,
)
from loket.work import Work, the_system

MAX_OPEN_DRAFTS = 50
"""Per person and procedure: nobody needs more."""


async def start(work: Work, procedure_key: str) -> Application:
    """Open a draft for the signed-in citizen.

    Raises:
        Refused: SIGN_IN_REQUIRED; NOT_FOUND for a procedure that is not offered today; TOO_LARGE with
            too many open drafts.
    """
    if work.actor.kind is not ActorKind.CITIZEN or work.actor.id is None:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    definition = await choose(work, procedure_key)
    return await begin(work, definition, await work.session.get_one(Person, work.actor.id), Channel.ONLINE)


async def begin(work: Work, definition: Definition, person: Person, channel: Channel) -> Application:
    """Open a draft in the name of `person`, filled in as far as they are known.

    Raises:
        Refused: TOO_LARGE with too many open drafts.
    """
    drafts = await work.session.scalars(
        select(col(Application.id))
        .where(
            col(Application.person_id) == person.id,
            col(Application.procedure_key) == definition.key,
            col(Application.status) == ApplicationStatus.DRAFT,
        )
        .limit(MAX_OPEN_DRAFTS)
    )
    if len(drafts.all()) >= MAX_OPEN_DRAFTS:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{MAX_OPEN_DRAFTS} drafts")
    application = Application(
        procedure_key=definition.key,
        procedure_version=definition.version,
        person_id=person.id,
        staff_id=work.actor.id if work.actor.is_staff else None,
        channel=channel,
        acr=work.actor.acr,
        started_at=work.now,
        updated_at=work.now,
        expires_at=work.now + timedelta(days=definition.drafts.keep_days),
    )
    sources.prefill(definition, application, person, work.now)
    work.session.add(application)
    await work.session.flush()
    await work.arm(TimerKind.DRAFT_END, application.expires_at, subject=application.id)
    await sources.want(work, person, definition.key, application.id)
    return application


async def get(
    work: Work, application_id: UUID, *, expected_version: int | None = None, draft: bool = True
) -> Application:
    """An application that the actor may fill in, locked: one's own; for handlers one made at the counter.

    Raises:
        Refused: NOT_FOUND; VERSION_CONFLICT; TRANSITION_NOT_ALLOWED when a draft is needed and it is none.
    """
    found = await work.session.scalars(
        select(Application)
        .where(col(Application.id) == application_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    application = found.one_or_none()
    if application is None or not _may_fill_in(work, application):
        raise Refused(ErrorCode.NOT_FOUND)
    if draft and application.status is not ApplicationStatus.DRAFT:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=application.status)
    if expected_version is not None and expected_version != application.version:
        raise Refused(
            ErrorCode.VERSION_CONFLICT,
            current=application.version,
        )
    return application


def _may_fill_in(work: Work, application: Application) -> bool:
    """A citizen's own draft stays the citizen's; with one of the counter its department's handlers go on."""
    if work.actor.is_staff:
        department = work.definition(application).department.nl
        return application.channel is Channel.COUNTER and Role.HANDLER in work.actor.roles_at(department)
    return application.person_id == work.actor.id


async def remember_sources(work: Work, application_id: UUID, answers: sources.Answers) -> Application:
    """Fill the draft with what MAGDA said while it was asked."""
    application = await get(work, application_id)
    person = await work.session.get_one(Person, application.person_id)
    await sources.learn(work, application, person, answers)
    sources.prefill(work.definition(application), application, person, answers.at)
    touch(work, application)
    return application


async def set_answers(work: Work, application: Application, patch: object) -> None:
    """Merge `patch` into the answers (JSON Merge Patch, RFC 7396).

    Raises:
        ManyRefused: every value that can not be right, with its path; what is missing still is no fault.
    """
    definition = work.definition(application)
    if not isinstance(patch, dict):
        raise Refused(ErrorCode.VALIDATION, path=["input"], reason="an object is needed")
    too_large = forms.validate_answers(definition, patch, work.actor.language, complete=False)
    if any(fault.code is ErrorCode.TOO_LARGE for fault in too_large):
        raise refusals(too_large, "input")
    before = given_in(work, application)
    answers = merge(before, patch)
    if work.actor.is_staff:
        answers = accounts.unmasked_in(definition, before, answers)
    faults = forms.validate_answers(definition, answers, work.actor.language, complete=False)
    faults += _locked_fields(application, answers, work.actor.language)
    if faults:
        raise refusals(faults, "input")
    application.answers = accounts.sealed_in(definition, work.vault, answers)
    touch(work, application)


def given_in(work: Work, application: Application) -> Json:
    """The answers as they were given; the account number is kept sealed."""
    return accounts.opened_in(work.definition(application), work.vault, application.answers)


async def set_cart(work: Work, application: Application, cart: list[Json]) -> None:
    """Replace the cart. Raises `ManyRefused` with every fault of it; an empty cart is fine in a draft."""
    definition = work.definition(application)
    lines = orders.cart_lines(cart)
    faults = pricing.check_cart(definition, lines, work.today, work.actor.language) if lines else []
    if faults:
        raise refusals(faults, "input", "lines")
    application.cart = cart
    touch(work, application)


def faults_in(
    definition: Definition, answers: Json, cart: list[Json], today: date, language: str
) -> list[FieldFault]:
    """All that still stands in the way of handing it in; paths lead from the application."""
    faults = [
        FieldFault(["answers", *fault.path], fault.code, fault.message)
        for fault in forms.validate_answers(definition, answers, language)
    ]
    if definition.catalogue is not None:
        faults += [
            FieldFault(["cart", *fault.path], fault.code, fault.message)
            for fault in pricing.check_cart(definition, orders.cart_lines(cart), today, language)
        ]
    return faults


async def submit(work: Work, application: Application) -> Case:
    """Hand in an application: opens a case with its reference, and starts its first stage.

    A draft of an older version may be handed in for as long as that one holds, and stays on it.

    Raises:
        Refused: OUTDATED for a version that holds no more.
        ManyRefused: every fault of the form and the cart, each with its path.
    """
    definition = work.definition(application)
    if not definition.valid_on(work.today):
        raise Refused(ErrorCode.OUTDATED, path=["id"])
    answers = given_in(work, application)
    language = work.actor.language
    faults = faults_in(definition, answers, application.cart, work.today, language)
    # what is not asked (any more) is no part of what is handed in
    application.answers = forms.asked(definition.form, application.answers)
    facts = await of_application(work, application)
    faults += enclosures.missing(definition, facts, language)
    person = await work.session.get_one(Person, application.person_id, with_for_update={"key_share": True})
    faults += co_applicants.faults(
        definition, facts, answers, language, partial(co_applicants.is_of, work, person)
    )
    if faults:
        raise refusals(faults)
    cases.move(work, APPLICATION, application, PartAction.SUBMIT)
    application.submitted_at = application.updated_at = work.now
    _learn_contact(definition, application, person)
    case = await cases.open_for(work, application, definition)
    payout_accounts.keep(work, case, application)
    await _take_documents(work, application, case)
    await work.disarm(TimerKind.DRAFT_END, subject=application.id)
    await sources.want(work, person, definition.key, case.id)
    await sources.let_go(work, person.id, definition.key, application.id)
    await orders.place(work, case, application.cart)
    await entitlements.claim(work, case)
    await duplicates.note(work, case)
    if (case.facts.get("person") or {}).get("number_replaced"):
        await cases.open_task(work, case, "NUMBER_REPLACED")
    await cases.advance(work.as_actor(the_system()), case, Action.BEGIN)
    return case


async def _take_documents(work: Work, application: Application, case: Case) -> None:
    """What was sent becomes part of the case; what was announced only falls away."""
    mine = col(Document.application_id) == application.id
    await work.session.execute(delete(Document).where(mine, col(Document.stored_at).is_(None)))
    await work.session.execute(update(Document).where(mine).values(case_id=case.id))


async def end_draft(work: Work, application: Application, action: PartAction) -> None:
    """Throw a draft away, by its citizen (DISCARD) or after its time (EXPIRE): its content goes at once."""
    cases.move(work, APPLICATION, application, action)
    application.answers, application.prefill, application.cart, application.facts = {}, [], [], {}
    application.household_index = None
    application.updated_at = work.now
    documents = select(col(Document.id)).where(col(Document.application_id) == application.id)
    await work.session.execute(delete(DocumentContent).where(col(DocumentContent.document_id).in_(documents)))
    await work.session.execute(delete(Document).where(col(Document.application_id) == application.id))
    await work.disarm(TimerKind.DRAFT_END, subject=application.id)
    await sources.let_go(work, application.person_id, application.procedure_key, application.id)
    person = await work.session.get_one(Person, application.person_id)
    if person.insz_index is None:
        people.forget(person)


async def choose(work: Work, procedure_key: str) -> Definition:
    """The version to begin with: the one that holds today, and still does when this work is committed.

    Raises:
        Refused: NOT_FOUND.
    """
    await publications.hold(work, procedure_key)
    return offered(work, procedure_key)


def offered(work: Work, procedure_key: str) -> Definition:
    """The version of a procedure that holds today. Raises `Refused` NOT_FOUND."""
    definition = publications.current(work.procedures, procedure_key, work.today)
    if definition is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "procedure"])
    return definition


def merge(target: object, patch: object) -> Any:  # noqa: ANN401  # JSON
    """JSON Merge Patch (RFC 7396): null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def refusals(faults: list[FieldFault], *prefix: str) -> ManyRefused:
    return ManyRefused(
        [
            Refused(
                fault.code, path=[*prefix, *fault.path], text=fault.message, limit="", reason=fault.message
            )
            for fault in faults
        ]
    )


def _locked_fields(application: Application, answers: Json, language: str) -> list[FieldFault]:
    text = {"nl": "Dit gegeven komt uit een authentieke bron.", "en": "This comes from an authentic source."}
    faults: list[FieldFault] = []
    for entry in application.prefill:
        pointer = entry["field"].strip("/").split("/")
        if not entry.get("editable", True) and sources.read(answers, pointer) != entry["value"]:
            faults.append(FieldFault(pointer, ErrorCode.VALIDATION, text.get(language, text["nl"])))
    return faults


def _learn_contact(definition: Definition, application: Application, person: Person) -> None:
    """Somebody without contact points gets those of the form: that is where word is awaited."""
    for one in definition.form.prefill:
        value = sources.read(application.answers, one.field.strip("/").split("/"))
        if one.source == "contact.email" and value and person.email is None:
            person.email = value
        if one.source == "contact.phone" and value and person.phone is None:
            with suppress(ValueError):  # a number that could be, of which none is given out
                person.phone = e164(value)
    if person.address is None:
        block = application.answers.get("applicant")
        address = block.get("address") if isinstance(block, dict) else None
        person.address = address if isinstance(address, dict) else None
    if not person.family_name:
        name = sources.read(application.answers, ["applicant", "name"])
        person.family_name = name if isinstance(name, str) else ""


def touch(work: Work, application: Application) -> None:
    """It was changed: `expectedVersion` of before holds no more."""
    application.version += 1
    application.updated_at = work.now
