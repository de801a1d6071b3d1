"""Whether it is wanted again (hernieuwing): a draft filled in as before, and the applicant is asked.

Nothing is handed in by itself. What the government knows is looked up anew; what was declared is declared
anew; only what fits the form of today is taken over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import select
from sqlmodel import col

from loket import accounts, applications, cases, orders, pricing, sources
from loket.definition import Definition
from loket.errors import Refused
from loket.forms import answered, validate_answers
from loket.lifecycle import ApplicationStatus, EventType, Status, TimerKind
from loket.proofreading.form import field
from loket.records import Application, Case, Channel, Event, Json, Person
from loket.sources import Answers
from loket.terms import morning_of
from loket.wording import Value
from loket.work import Work, the_system

AT_COUNTER = "RENEWAL_AT_COUNTER"
"""The task of who must open a draft for somebody who cannot sign in."""
PAGE = "/opnieuw"
"""Of a case on the municipality's website: its draft to ask it again, `Case.renewal`."""
_CAME_TO_NOTHING = (Status.INADMISSIBLE, Status.REJECTED, Status.WITHDRAWN, Status.CANCELLED)
_MOST_TURNS = 20
"""How often what does not fit is taken out; each turn takes out all that is seen to be wrong."""


# --- when -------------------------------------------------------------------------------------


async def begin(work: Work, case: Case) -> None:
    """The case is completed: note when it is asked whether it is wanted again."""
    renewal = work.definition(case).renewal
    if renewal is None:
        return
    if renewal.after_months is not None:
        day = work.today + relativedelta(months=renewal.after_months)
    elif renewal.before_end_days is not None and case.valid_until is not None:
        day = case.valid_until - timedelta(days=renewal.before_end_days)
    else:
        return  # nobody knows yet until when it holds
    await work.arm(TimerKind.RENEWAL, max(morning_of(day), work.now), case=case)


async def stop(work: Work, case: Case) -> None:
    """It is looked at again: it is asked anew when that has ended. A draft that was opened stays."""
    case.renewal_id = None
    await work.disarm(TimerKind.RENEWAL, case=case)
    await cases.complete_tasks(work, case, AT_COUNTER)


# --- asking -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Before:
    """What was filled in then, under which version."""

    definition: Definition
    answers: Json
    cart: list[Json]


async def is_due(work: Work, case: Case) -> bool:
    """Whether the applicant is to be asked, as far as we know; then the sources are looked at once more."""
    if case.status is not Status.COMPLETED or case.renewal_id is not None:
        return False
    if work.definition(case).renewal is None or _offered(work, case) is None:
        return False
    person = await work.session.get_one(Person, case.person_id)
    return not (person.deceased_on or _moved_away(work, case, person) or await _asked_already(work, case))


async def offer(work: Work, case: Case, heard: Answers | None) -> None:
    """Open the draft and ask; `heard` is what the sources say of the applicant now.

    Who died or moved away is not asked, nor who asked it again already; who cannot sign in is asked to come.
    """
    person = await work.session.get_one(Person, case.person_id, with_for_update={"key_share": True})
    if heard is not None:
        _learn_end(person, heard)
    definition = _offered(work, case)
    if definition is None or not await is_due(work, case) or (heard and _left(work, case, heard)):
        return
    if person.insz_index is None:
        await cases.open_task(work, case, AT_COUNTER, {"procedure": definition.key})
        await cases.record(work, case, EventType.RENEWAL_OFFERED)
        return
    draft = await _draft(work, case, definition, person, heard)
    case.renewal_id = draft.id
    await cases.record(work, case, EventType.RENEWAL_OFFERED, data={"application": str(draft.id)})


def _offered(work: Work, case: Case) -> Definition | None:
    try:
        return applications.offered(work, case.procedure_key)
    except Refused:
        return None


def _learn_end(person: Person, heard: Answers) -> None:
    if heard.person is not None and heard.person.deceased_on is not None:
        person.deceased_on = heard.person.deceased_on


def _moved_away(work: Work, case: Case, person: Person) -> bool:
    """Who lived here when they applied, and does no longer."""
    now = (person.address or {}).get("nis")
    return now is not None and _lived_here(work, case) and now != work.settings.municipality.nis


def _left(work: Work, case: Case, heard: Answers) -> bool:
    address = heard.person.address if heard.person else None
    return address is not None and _lived_here(work, case) and address.nis != work.settings.municipality.nis


def _lived_here(work: Work, case: Case) -> bool:
    then = (case.facts.get("person") or {}).get("address") or {}
    return bool(then.get("nis") == work.settings.municipality.nis)


async def _asked_already(work: Work, case: Case) -> bool:
    """Whether there is a later draft of this procedure, or a later case that did not come to nothing."""
    before = await work.session.get_one(Application, case.application_id)
    theirs = (
        col(Application.person_id) == case.person_id,
        col(Application.procedure_key) == case.procedure_key,
        col(Application.started_at) > before.started_at,
    )
    draft = await work.session.scalar(
        select(col(Application.id))
        .where(*theirs, col(Application.status) == ApplicationStatus.DRAFT)
        .limit(1)
    )
    later = await work.session.scalar(
        select(col(Case.id))
        .where(
            col(Case.person_id) == case.person_id,
            col(Case.procedure_key) == case.procedure_key,
            col(Case.submitted_at) > case.submitted_at,
            col(Case.status).not_in(_CAME_TO_NOTHING),
        )
        .limit(1)
    )
    return draft is not None or later is not None


# --- the draft --------------------------------------------------------------------------------


async def _draft(
    work: Work, case: Case, definition: Definition, person: Person, heard: Answers | None
) -> Application:
    by_itself = work.as_actor(the_system())
    draft = await applications.begin(by_itself, definition, person, case.channel)
    if heard is not None:
        await sources.learn(by_itself, draft, person, heard)
        sources.prefill(definition, draft, person, heard.at)
    before = await _before(work, case)
    kept = taken_over(before.definition, definition, before.answers)
    answers = applications.merge(kept, draft.answers)
    draft.answers = accounts.sealed_in(definition, work.vault, answers)
    if before.cart and not pricing.check_cart(definition, orders.cart_lines(before.cart), work.today, "nl"):
        draft.cart = before.cart
    renewal = work.definition(case).renewal
    assert renewal is not None
    draft.expires_at = work.now + timedelta(days=renewal.draft_days)
    await work.arm(TimerKind.DRAFT_END, draft.expires_at, subject=draft.id)
    return draft


async def _before(work: Work, case: Case) -> _Before:
    """The answers hold an account masked once they were handed in: whole it is kept with the case, sealed.

    Not for a draft of the counter: there staff would read it.
    """
    application = await work.session.get_one(Application, case.application_id)
    definition, answers = work.definition(case), application.answers
    sealed = (case.facts.get("account") or {}).get("sealed")
    if sealed and definition.payout is not None and case.channel is not Channel.COUNTER:
        answers = accounts.with_account(definition, answers, work.vault.open(bytes.fromhex(sealed)))
    return _Before(definition, answers, application.cart)


def taken_over(then: Definition, now: Definition, answers: Json) -> Json:
    """What of `answers` stands in the new draft, as far as the form of today still has it.

    Not what is filled in from a source, that is looked up anew; nor for how long it is to hold; nor what was
    declared. No I/O.
    """
    renewal, validity = then.renewal, then.validity
    if renewal is not None and renewal.keep:
        answers = _only(answers, renewal.keep)
    anew = [one.field for one in now.form.prefill]
    if validity is not None:
        anew += [one for one in (validity.from_field, validity.until_field) if one]
    for pointer in anew:
        answers = _without(answers, _steps(pointer))
    for pointer in _leaves(answers):
        if (field(now.form.json_schema, pointer) or {}).get("const") is True:
            answers = _without(answers, _steps(pointer))
    for _ in range(_MOST_TURNS):
        faults = validate_answers(now, answers, "nl", complete=False)
        if not faults:
            return answers
        for fault in faults:
            answers = _without(answers, fault.path)
    return {}


def _only(answers: Json, pointers: Sequence[str]) -> Json:
    kept: Json = {}
    for pointer in pointers:
        value = answered(answers, pointer)
        if value is not None:
            kept = sources.write(kept, _steps(pointer), value)
    return kept


def _without(answers: Json, path: Sequence[str]) -> Json:
    """A copy that lacks what stands at `path`; of a list the whole list, and no group stays behind empty."""
    if not path:
        return {}
    head, *rest = path
    if head not in answers:
        return answers
    others = {name: value for name, value in answers.items() if name != head}
    inner = answers[head]
    left = _without(inner, rest) if rest and isinstance(inner, dict) else {}
    return others | {head: left} if left else others


def _leaves(answers: Mapping[str, Any], above: str = "") -> list[str]:
    """Where something stands that is no group."""
    found: list[str] = []
    for name, value in answers.items():
        found += _leaves(value, f"{above}/{name}") if isinstance(value, dict) else [f"{above}/{name}"]
    return found


def _steps(pointer: str) -> list[str]:
    return pointer.strip("/").split("/")


# --- what can be said -------------------------------------------------------------------------


def said(work: Work, case: Case, events: Sequence[Event]) -> dict[str, Value]:
    """What texts can name of what goes on after a case: until when it holds, where it is asked again."""
    days: dict[str, date | None] = {"valid_from": case.valid_from, "valid_until": case.valid_until}
    values: dict[str, Value] = {name: day for name, day in days.items() if day is not None}
    if any(event.type is EventType.RENEWAL_OFFERED and "application" in event.data for event in events):
        values["link_draft"] = f"{work.settings.website_url}/dossiers/{case.reference}{PAGE}"
    return values
