"""Decisions to the minutes system and back, letters on paper and in the eBox: done after the commit."""

import asyncio
import hashlib
import io
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from pypdf import PdfWriter

from loket import agenda, decisions, letters, paper, proposals
from loket.agenda import Heard, Signatory
from loket.app import Loket
from loket.channels.ebox import NoEbox
from loket.definition import Agenda, Definition
from loket.errors import Declined
from loket.lifecycle import DecisionStatus
from loket.outcome import Done
from loket.records import (
    AgendaItem,
    Case,
    DocumentContent,
    Effect,
    EffectKind,
    Letter,
    LetterStatus,
    LetterWay,
    Person,
)
from loket.systems.minutes_item import Item, Meeting, NewAnnex, Outcome
from loket.terms import BRUSSELS
from loket.wording import Wording
from loket.work import Work, the_system

PDF = "application/pdf"
MOST_SUCCESSORS = 5
"""How often one item may come back before a person must look."""
EBOX_CATEGORY = "Beslissing"


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
        await agenda.heard(work, item_id, facts)
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
        listed = await proposals.listed_on(work, item)
        if not listed:
            return None
        definition = work.definition(listed[0].case)
        drafted_on = item.created_at.astimezone(BRUSSELS).date()
        draft = proposals.draft(work.settings.municipality, definition, drafted_on, listed)
        return _Sent(item, definition, draft)


async def item_given_up(work: Work, _: Case, effect: Effect) -> None:
    await agenda.not_sent(work, UUID(effect.payload["item_id"]), effect.last_error or "not taken")


async def letter_given_up(work: Work, _: Case, effect: Effect) -> None:
    await letters.not_made(work, UUID(effect.payload["letter_id"]))


async def ebox_given_up(work: Work, _: Case, effect: Effect) -> None:
    """What the eBox does not take goes by post: the term to send it runs."""
    await letters.no_ebox(work, UUID(effect.payload["letter_id"]))


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
        await agenda.heard(work, item_id, facts)

    return Done({"result": facts.result, "state": facts.state, "warnings": list(facts.warnings)}, write)


async def _of_package(loket: Loket, item: AgendaItem, draft: paper.DecisionDraft | None) -> Heard:
    minutes = loket.systems.minutes
    found = await (
        minutes.item(item.item_uid) if item.item_uid else minutes.find(item.external_identifier, item.body)
    )
    if found is None:
        return Heard(Outcome.OPEN, warnings=(f"the minutes system has no item {item.external_identifier}",))
    for _ in range(MOST_SUCCESSORS):
        if found.outcome is not Outcome.POSTPONED or not found.successors:
            break
        later = await minutes.item(found.successors[-1].uid)
        if later is None or (later.outcome is Outcome.OPEN and later.state not in agenda.ON_ITS_AGENDA):
            break  # a draft still, on no agenda
        found = later
    facts = _of_item(found, draft)
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
    ours = {_bare(plain_text(one)) for one in paper.decision_html(draft)}
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


# --- letters ----------------------------------------------------------------------------------


async def make_letter(loket: Loket, effect: Effect) -> Done:
    """Put a letter on paper."""
    letter_id = UUID(effect.payload["letter_id"])
    async with loket.work(the_system()) as work:
        letter = await work.session.get_one(Letter, letter_id)
        case = await work.session.get_one(Case, letter.case_id)
        today = work.today
    if letter.status is not LetterStatus.QUEUED:
        return Done({"skipped": letter.reason})
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    try:
        if letter.decision_id is None:
            content = await paper.letter_pdf(_plain(loket, definition, case, letter))
            name = f"brief-{case.reference}.pdf"
        else:
            content = await _on_paper(loket, definition, case, letter, today)
            name = f"beslissing-{case.reference}.pdf"
    except ValueError as fault:  # a letter that would not hold: a person must look
        raise Declined("paper", str(fault)) from fault

    async def write(work: Work) -> None:
        await letters.paper_made(work, letter_id, name, content)

    return Done({"bytes": len(content)}, write)


def _plain(loket: Loket, definition: Definition, case: Case, letter: Letter) -> paper.LetterPaper:
    """A message to who has nothing but an address."""
    said = letter.content
    return paper.plain_letter(
        Wording(letter.subject, said["text"], None, said["language"], None),
        municipality=loket.settings.municipality,
        addressee=paper.Addressee(said["name"], tuple(said["lines"])),
        dated_on=letter.created_at.astimezone(BRUSSELS).date(),
        reference=case.reference,
        contact_name=definition.contact.name,
    )


async def _on_paper(loket: Loket, definition: Definition, case: Case, letter: Letter, today: date) -> bytes:
    said = letter.content
    signatories = [one for one in said["signatories"] if one["signed_on"]][: decisions.SIGNATORIES]
    signed = [date.fromisoformat(one["signed_on"]) for one in signatories]
    # a body may sign before the day that the agenda names, and clocks differ
    decided_on = min([date.fromisoformat(said["decided_on"]), *signed])
    dated_on = max([today, *signed])
    addressee = paper.Addressee(said["name"], tuple(said["lines"]))
    contact = definition.contact
    municipality = loket.settings.municipality
    if len(signed) != decisions.SIGNATORIES:
        return await paper.letter_pdf(_unsigned(loket, definition, case, letter, dated_on))
    appeal = definition.appeal
    refused = said["result"] == DecisionStatus.REFUSED
    return await paper.decision_letter_pdf(
        paper.DecisionLetter(
            municipality=municipality,
            addressee=addressee,
            dated_on=dated_on,
            reference=case.reference,
            title=definition.title.nl,
            result=paper.Result(said["result"]),
            decided_by=definition.deciding_body.nl,
            decided_on=decided_on,
            applied_on=case.submitted_at.astimezone(BRUSSELS).date(),
            legal_grounds=tuple(said["legal"]),
            factual_grounds=tuple(said["facts"]),
            appeal=paper.Appeal(
                body=appeal.body.nl,
                form=appeal.form.nl,
                term=appeal.term.nl,
                address=appeal.address.nl,
                remark=appeal.remark.nl if appeal.remark else "",
            ),
            contact=paper.Contact(
                contact.name, contact.phone or municipality.phone, contact.email or municipality.email
            ),
            signatories=tuple(
                paper.Signatory(one["name"], one["function"], date.fromisoformat(one["signed_on"]))
                for one in signatories
            ),
            department=definition.department.nl,
            language=letters.LANGUAGE,
            amount_eur=None if refused or not said["amount"] else Decimal(said["amount"]),
            iban=_account(loket, case) if not refused and said["account"] else "",
            payout_days=None if refused else said["payout_days"],
            conditions=tuple(said["conditions"]),
        )
    )


def _account(loket: Loket, case: Case) -> str:
    sealed = (case.facts.get("account") or {}).get("sealed")
    return loket.vault.open(bytes.fromhex(sealed)) if sealed else ""


def _unsigned(
    loket: Loket, definition: Definition, case: Case, letter: Letter, dated_on: date
) -> paper.LetterPaper:
    """A decision of a handler or a rule: it is no body's, so nobody of one signs."""
    said = letter.content
    grounds = [
        ("Juridische grond", said["legal"]),
        ("Feiten en argumentatie", said["facts"]),
        ("Voorwaarden", said["conditions"]),
    ]
    return paper.LetterPaper(
        municipality=loket.settings.municipality,
        addressee=paper.Addressee(said["name"], tuple(said["lines"])),
        dated_on=dated_on,
        reference=case.reference,
        subject=letter.subject,
        paragraphs=(
            f"{definition.title.nl}: uw aanvraag is {letters.RESULTS[DecisionStatus(said['result'])]}.",
            *(f"{name}: {' '.join(lines)}" for name, lines in grounds if any(lines)),
        ),
        appeal=definition.appeal.get(letters.LANGUAGE),
        signatories=(),
        contact_name=definition.contact.name,
        language=letters.LANGUAGE,
    )


async def send_to_ebox(loket: Loket, effect: Effect) -> Done:
    """Deliver a letter with legal value; who has no eBox gets it by post."""
    letter_id = UUID(effect.payload["letter_id"])
    async with loket.work(the_system()) as work:
        letter = await work.session.get_one(Letter, letter_id)
        person = await work.session.get_one(Person, letter.person_id)
        content = await work.session.get_one(DocumentContent, letter.document_id)
        case = await work.session.get_one(Case, letter.case_id)
    if letter.status is not LetterStatus.QUEUED or letter.way is not LetterWay.EBOX:
        return Done({"skipped": letter.reason or letter.status})
    answer = (
        await loket.systems.ebox.send(
            id=letter.id,
            insz=loket.vault.open(person.insz_sealed),
            subject=letter.subject,
            body="U vindt de beslissing over uw aanvraag in bijlage.",
            filename=f"beslissing-{case.reference}.pdf",
            document=content.content,
            category=EBOX_CATEGORY,
        )
        if person.insz_sealed
        else NoEbox.NO_EBOX
    )

    async def write(work: Work) -> None:
        if isinstance(answer, NoEbox):
            await letters.no_ebox(work, letter_id)
        else:
            await letters.delivered_to_ebox(work, letter_id, answer.notification)

    return Done({"ebox": None if isinstance(answer, NoEbox) else answer.notification}, write)
