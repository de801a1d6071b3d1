"""Items on their way to the minutes system, and what it says of them: carried out after the commit."""

import asyncio
import hashlib
import io
from dataclasses import dataclass, replace
from datetime import date
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from pypdf import PdfWriter

from loket import agenda, agenda_items, paper, sittings
from loket.app import Loket
from loket.definition import Agenda, Definition
from loket.errors import Declined
from loket.hearsay import Heard, Signatory
from loket.outcome import Done
from loket.records import (
    AgendaItem,
    Case,
    Effect,
    EffectKind,
)
from loket.systems.minutes_item import Item, Meeting, NewAnnex, Outcome
from loket.terms import BRUSSELS
from loket.work import Work, the_system

PDF = "application/pdf"
MOST_SUCCESSORS = 5
"""How often one item may come back before a person must look."""


# --- to the minutes system --------------------------------------------------------------------


@dataclass(frozen=True)
class _Sent:
    """An item as it goes out: who decides, in which words. None where nothing of it is left."""

    item: AgendaItem
    definition: Definition
    draft: paper.DecisionDraft

    @property
    def agenda(self) -> Agenda:
        assert self.definition.decision is not None
        assert self.definition.decision.agenda is not None
        return self.definition.decision.agenda


async def create_item(loket: Loket, effect: Effect) -> Done:
    """Put an item on the agenda. A repeat finds it again by its external identifier."""
    item_id = UUID(effect.payload["item_id"])
    sent = await _read_item(loket, item_id)
    if sent is None or sent.item.ended_at is not None:
        return Done({"skipped": "the draft was withdrawn"})
    meeting = await _meeting_for(loket, sent)
    try:
        motivation_html, decision_html = paper.decision_html(sent.draft)
        draft_pdf, annex_pdf = await paper.draft_pdf(sent.draft), await paper.annex_pdf(sent.draft)
    except ValueError as fault:  # somebody is named who must not be
        raise Declined("paper", str(fault)) from fault
    name = sent.item.external_identifier
    made = await loket.systems.minutes.create_item(
        body=sent.item.body,
        external_identifier=name,
        title=sent.item.title,
        motivation_html=motivation_html,
        decision_html=decision_html,
        preferred_meeting=meeting.uid if meeting else sent.item.meeting_uid,
        closed=sent.agenda.closed,
        category=sent.agenda.category or "",
        proposing_group=sent.agenda.proposing_group,
        annexes=[
            NewAnnex("Ontwerpbesluit", f"ontwerpbesluit-{name}.pdf", draft_pdf, PDF),
            NewAnnex("Besloten bijlage", f"besloten-bijlage-{name}.pdf", annex_pdf, PDF),
        ],
    )
    both = await asyncio.to_thread(_behind_each_other, draft_pdf, annex_pdf)
    facts = _of_item(made, sent.draft)

    async def write(work: Work) -> None:
        await agenda.keep_draft(work, item_id, both)
        await sittings.heard(work, item_id, facts)
        item = await work.session.get_one(AgendaItem, item_id)
        if item.ended_at is not None and facts.result is Outcome.OPEN:  # withdrawn while it was being made
            await work.leave(EffectKind.MINUTES_WITHDRAW, {"item_id": str(item_id)})

    return Done({"item": made.uid, "state": made.state, "warnings": list(made.warnings)}, write)


async def _meeting_for(loket: Loket, sent: _Sent) -> Meeting | None:
    meetings = await loket.systems.minutes.open_meetings(sent.item.body)
    async with loket.work(the_system()) as work:
        now = work.now
    return agenda.next_meeting(meetings, now, sent.agenda.cut_off_days, sent.item.meeting_uid)


def _behind_each_other(*papers: bytes) -> bytes:
    whole = PdfWriter()
    for one in papers:
        whole.append(io.BytesIO(one), import_outline=False)
    made = io.BytesIO()
    whole.write(made)
    return made.getvalue()


async def _read_item(loket: Loket, item_id: UUID) -> _Sent | None:
    async with loket.work(the_system()) as work:
        item = await work.session.get_one(AgendaItem, item_id)
        listed = await agenda_items.listed_on(work, item)
        if not listed:
            return None
        definition = work.definition(listed[0].case)
        drafted_on = item.created_at.astimezone(BRUSSELS).date()
        draft = agenda_items.draft(work.settings.municipality, definition, drafted_on, listed)
        return _Sent(item, definition, draft)


async def item_given_up(work: Work, _: Case, effect: Effect) -> None:
    await agenda.not_sent(work, UUID(effect.payload["item_id"]), effect.last_error or "not taken")


# --- and back ---------------------------------------------------------------------------------


async def read_item(loket: Loket, effect: Effect) -> Done:
    """Ask what became of an item; or fetch the document of a decision that was told at our hook."""
    item_id = UUID(effect.payload["item_id"])
    sent = await _read_item(loket, item_id)
    told = effect.payload.get("told")
    async with loket.work(the_system()) as work:
        item = await work.session.get_one(AgendaItem, item_id)
    draft = sent.draft if sent else None
    facts = await _of_notice(loket, told, draft) if told else await _of_package(loket, item, draft)

    async def write(work: Work) -> None:
        await sittings.heard(work, item_id, facts)

    return Done({"result": facts.result, "state": facts.state, "warnings": list(facts.warnings)}, write)


async def _of_package(loket: Loket, item: AgendaItem, draft: paper.DecisionDraft | None) -> Heard:
    minutes = loket.systems.minutes
    found = await (
        minutes.item(item.item_uid) if item.item_uid else minutes.find(item.external_identifier, item.body)
    )
    if found is None:
        return Heard(Outcome.OPEN, warnings=(f"the minutes system has no item {item.external_identifier}",))
    passed: list[str] = []
    for _ in range(MOST_SUCCESSORS):
        if found.outcome is not Outcome.POSTPONED or not found.successors:
            break
        later = await minutes.item(found.successors[-1].uid)
        if later is None or (later.outcome is Outcome.OPEN and later.state not in agenda.ON_ITS_AGENDA):
            break  # a draft still, on no agenda
        passed.append(found.uid)
        found = later
    facts = replace(_of_item(found, draft), successor_of=tuple(passed))
    if found.signed is None:
        return facts
    content = await minutes.download(found.signed.url)
    return replace(facts, content=content, sha256=hashlib.sha256(content).hexdigest())


async def _of_notice(loket: Loket, told: dict[str, Any], draft: paper.DecisionDraft | None) -> Heard:
    """What a connector told at our hook; the document is fetched and held against the hash that it named."""
    result = Outcome(told["result"])
    url = told.get("document_url")
    content = await loket.systems.minutes.download(url) if url else None
    return Heard(
        result,
        meeting_on=date.fromisoformat(told["meeting_on"]),
        item_uid=told.get("item_uid"),
        signatories=tuple(
            Signatory(one["name"], one["function"], date.fromisoformat(one["signed_on"]))
            for one in told["signatories"]
        ),
        content=content,
        sha256=told.get("sha256") or "",
        text=_own_words(told.get("decision_html") or "", draft),
    )


def _of_item(found: Item, draft: paper.DecisionDraft | None) -> Heard:
    decided = found.outcome in (Outcome.ACCEPTED, Outcome.MODIFIED, Outcome.REFUSED)
    words = "\n".join(
        one for html in (found.motivation_html, found.decision_html) if (one := _own_words(html, draft))
    )
    return Heard(
        found.outcome,
        meeting_on=found.meeting_at.astimezone(BRUSSELS).date() if found.meeting_at else None,
        meeting_uid=found.meeting_uid,
        item_uid=found.uid,
        state=found.state,
        signatories=tuple(
            Signatory(one.name, one.function, one.signed_on) for one in found.signatories if one.signed_on
        ),
        text=words if decided else "",
        warnings=found.warnings,
    )


def _own_words(html: str, draft: paper.DecisionDraft | None) -> str:
    """What the body wrote, where it is not what the draft said."""
    words = plain_text(html)
    if draft is None or not words:
        return words
    try:
        ours = {_bare(plain_text(one)) for one in paper.decision_html(draft)}
    except ValueError:  # it was refused since, and its sums with it: there is no draft to compare with
        return words
    return "" if _bare(words) in ours else words


def _bare(text: str) -> str:
    return " ".join(text.split()).casefold()


def plain_text(html: str) -> str:
    """The text of a page, a line per paragraph."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "\n".join(line for part in reader.parts if (line := " ".join(part.split())))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "h1", "h2", "h3", "div", "br", "tr"):
            self.parts.append("")

    def handle_data(self, data: str) -> None:
        self.parts[-1] += data


async def withdraw_item(loket: Loket, effect: Effect) -> Done:
    """Take an item from its agenda; where the package does not let us, its secretariat is asked."""
    item_id = UUID(effect.payload["item_id"])
    async with loket.work(the_system()) as work:
        item = await work.session.get_one(AgendaItem, item_id)
    minutes = loket.systems.minutes
    found = await (
        minutes.item(item.item_uid) if item.item_uid else minutes.find(item.external_identifier, item.body)
    )
    if found is None:  # not made yet: whoever makes it takes it back
        return Done({"skipped": "the minutes system does not have it"})
    try:
        state = (await minutes.withdraw(found.uid)).state
    except Declined as no:
        reason = no.reason

        async def ask(work: Work) -> None:
            await agenda.stays_on_agenda(work, item_id, reason)

        return Done({"refused": reason}, ask)
    return Done({"state": state})
