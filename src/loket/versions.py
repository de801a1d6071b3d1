"""A draft that was begun on another version than the one of today: it is told, and can be taken over.

What fits is kept; what does not is named, so that nobody is surprised. Running cases are never moved.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import accounts, applications, formfields, orders, pricing, publications, sources, uploads
from loket.definition import Definition
from loket.errors import ErrorCode, Refused
from loket.forms import FieldFault, form_in, validate_answers
from loket.lifecycle import Role
from loket.publications import Shelf
from loket.records import Application, Channel, Document, Json, Person
from loket.work import Work

_MOST_TURNS = 20
"""How often what does not fit is taken out: each turn takes out all that is seen to be wrong."""
_TEXTS: dict[str, tuple[str, str]] = {
    "answer": ("Dit wordt niet meer zo gevraagd: {title}.", "This is not asked like that any more: {title}."),
    "line": ("Dit is niet meer te krijgen: {title}.", "This is not to be had any more: {title}."),
    "document": (
        "Dit is geen afzonderlijk bewijsstuk meer, en is nu een gewone bijlage: {title}.",
        "This is no document of its own any more, and now an ordinary attachment: {title}.",
    ),
    "closed": ("Dit kan vandaag niet aangevraagd worden.", "This can not be applied for today."),
}


@dataclass(frozen=True)
class LeftOut:
    """What a draft had that does not fit today; `path` leads there from the application: ["cart", "0"]."""

    path: list[str]
    text: str


@dataclass(frozen=True)
class TakenOver:
    before: Definition
    after: Definition
    left_out: list[LeftOut]


def newer(shelf: Shelf, definition: Definition, on: date) -> Definition | None:
    """The version that holds on that day, where it is another one; None where none does."""
    found = publications.current(shelf, definition.key, on)
    return None if found is None or found.version == definition.version else found


async def take_over(work: Work, application: Application) -> TakenOver:
    """Put a draft on the version of today: as if it had been begun on it, with what was filled in already.

    Raises:
        Refused: NOT_FOUND where it can not be applied for today; NOT_ALLOWED where another department handles
            it now, for staff.
    """
    before = work.definition(application)
    await publications.hold(work, before.key)
    after = publications.current(work.procedures, before.key, work.today)
    if after is None:
        raise Refused(ErrorCode.NOT_FOUND, text=_text("closed", work))
    if after.version == before.version:
        return TakenOver(before, after, [])
    if work.actor.is_staff and Role.HANDLER not in work.actor.roles_at(after.department.nl):
        raise Refused(ErrorCode.NOT_ALLOWED)
    left = [
        *_take_answers(work, application, before, after),
        *_take_cart(work, application, before, after),
        *await _take_documents(work, application, before, after),
    ]
    application.procedure_version = after.version
    await _prefill(work, application, after)
    applications.touch(work, application)
    return TakenOver(before, after, left)


def _text(key: str, work: Work, **values: str) -> str:
    return _TEXTS[key][work.actor.language == "en"].format_map(values)


# --- answers ----------------------------------------------------------------------------------


def _take_answers(
    work: Work, application: Application, before: Definition, after: Definition
) -> Iterator[LeftOut]:
    given = accounts.opened_in(before, work.vault, application.answers)
    kept, out = fitting(before, after, given)
    application.answers = accounts.sealed_in(after, work.vault, kept)
    application.prefill = [
        one for one in application.prefill if sources.read(kept, _steps(one["field"])) == one["value"]
    ]
    titles = _titles(before, work.actor.language)
    for path in out:
        yield LeftOut(["answers", *path], _text("answer", work, title=_title(titles, path)))


def fitting(before: Definition, after: Definition, answers: Json) -> tuple[Json, list[list[str]]]:
    """The answers that the form of `after` takes, and where those stood that it does not. No I/O.

    What is missing in it is no fault of a draft.
    """
    out: list[list[str]] = []

    def leave(path: Sequence[str]) -> None:
        nonlocal answers
        place = _place(answers, path)
        if place is not None:
            out.append(place)
            answers = _without(answers, place)

    new = {pointer for pointer, _ in formfields.all_fields(after.form.json_schema)}
    for pointer, _ in formfields.all_fields(before.form.json_schema):
        if pointer not in new:
            leave(_steps(pointer))
    for _ in range(_MOST_TURNS):
        faults = validate_answers(after, answers, "nl", complete=False)
        if not faults:
            return answers, out
        for fault in faults:
            leave(fault.path)
    return {}, [*out, *([name] for name in answers)]


def _place(answers: Json, path: Sequence[str]) -> list[str] | None:
    """Where of `path` there is something to leave out: of a list the whole list, no single entry."""
    here: Any = answers
    place: list[str] = []
    for step in path:
        if not isinstance(here, dict):
            return place or None
        if step not in here:
            return None
        place.append(step)
        here = here[step]
    return place or None


def _without(answers: Json, path: Sequence[str]) -> Json:
    """A copy without what stands at `path`; no group stays behind empty."""
    head, *rest = path
    others = {name: value for name, value in answers.items() if name != head}
    left = _without(answers[head], rest) if rest else {}
    return {name: left if name == head else value for name, value in answers.items()} if left else others


def _titles(definition: Definition, language: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for pointer, schema in formfields.all_fields(form_in(definition.form, language)):
        if schema.get("title"):
            found.setdefault(pointer, str(schema["title"]))
    return found


def _title(titles: Mapping[str, str], path: Sequence[str]) -> str:
    return titles.get("/" + "/".join(path), path[-1])


def _steps(pointer: str) -> list[str]:
    return pointer.strip("/").split("/")


# --- what is ordered, and papers --------------------------------------------------------------


def _take_cart(
    work: Work, application: Application, before: Definition, after: Definition
) -> Iterator[LeftOut]:
    """A line stays whole or falls away; an option that is gone takes its line with it."""
    kept: list[Json] = []
    for number, line in enumerate(application.cart):
        if after.catalogue and not _faults_of(after, line, work):
            kept.append(line)
        else:
            product = before.catalogue.find(line["product"]) if before.catalogue else None
            title = product.title.get(work.actor.language) if product else line["product"]
            yield LeftOut(["cart", str(number)], _text("line", work, title=title))
    application.cart = kept


def _faults_of(definition: Definition, line: Json, work: Work) -> list[FieldFault]:
    return pricing.check_cart(definition, orders.cart_lines([line]), work.today, work.actor.language)


async def _take_documents(
    work: Work, application: Application, before: Definition, after: Definition
) -> list[LeftOut]:
    known = {one.key for one in after.documents} | {uploads.ATTACHMENT}
    titles = {one.key: one.title.get(work.actor.language) for one in before.documents}
    found = await work.session.scalars(
        select(Document)
        .where(col(Document.application_id) == application.id, col(Document.kind).not_in(known))
        .order_by(col(Document.id))
        .with_for_update(key_share=True)
    )
    left: list[LeftOut] = []
    for document in found:
        title = f"{titles.get(document.kind, document.kind)} ({document.filename})"
        left.append(LeftOut(["documents"], _text("document", work, title=title)))
        document.kind = uploads.ATTACHMENT
    return left


async def _prefill(work: Work, application: Application, after: Definition) -> None:
    """Fill in what the new form asks and is known already; nobody is asked anew.

    What may not be changed comes from its source, also where it was filled in by hand before.
    """
    person = await work.session.get_one(Person, application.person_id)
    told = application.facts.get("person")
    by_hand = application.answers
    for one in after.form.prefill:
        if not one.editable and (place := _place(by_hand, _steps(one.field))) == _steps(one.field):
            application.answers = _without(application.answers, place)
    at = datetime.fromisoformat(told["fetched_at"]) if told else work.now
    sources.prefill(after, application, person, at)
    for one in after.form.prefill:
        steps = _steps(one.field)
        value = sources.read(by_hand, steps)
        if value is not None and sources.read(application.answers, steps) is None:
            application.answers = sources.write(application.answers, steps, value)
    fields = {one.field: one for one in after.form.prefill}
    application.prefill = [
        one | {"editable": fields[one["field"]].editable}
        for one in application.prefill
        if one["field"] in fields
        and not (application.channel is Channel.COUNTER and one["source"].startswith("acmidm."))
    ]
