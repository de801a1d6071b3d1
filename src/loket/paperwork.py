"""Letters on their way: put on paper, delivered in the eBox; carried out after the commit."""

from datetime import date
from decimal import Decimal
from uuid import UUID

from loket import decisions, letters, notation, paper
from loket.app import Loket
from loket.channels.ebox import EboxStatus, NoEbox
from loket.definition import Definition
from loket.errors import Declined
from loket.lifecycle import DecisionStatus
from loket.outcome import Done
from loket.records import (
    Case,
    DocumentContent,
    Effect,
    Json,
    Letter,
    LetterStatus,
    LetterWay,
    Person,
)
from loket.terms import BRUSSELS
from loket.wording import Wording
from loket.work import Work, the_system

_ANNOUNCED = {
    "beslissing": "U vindt de beslissing over uw aanvraag in bijlage.",
    "ingebrekestelling": "U vindt een ingebrekestelling in bijlage: uw factuur is niet betaald.",
}
_CATEGORIES = {"beslissing": "Beslissing", "ingebrekestelling": "Ingebrekestelling"}


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
            name = f"{_named(letter)}-{case.reference}.pdf"
        else:
            content = await _on_paper(loket, definition, case, letter, today)
            name = f"beslissing-{case.reference}.pdf"
    except ValueError as fault:  # a letter that would not hold: a person must look
        raise Declined("paper", str(fault)) from fault

    async def write(work: Work) -> None:
        await letters.paper_made(work, letter_id, name, content)

    return Done({"bytes": len(content)}, write)


def _named(letter: Letter) -> str:
    """What kind of letter it is, as its file says."""
    if letter.decision_id is not None:
        return "beslissing"
    return "ingebrekestelling" if "outstanding" in letter.content else "brief"


def _plain(loket: Loket, definition: Definition, case: Case, letter: Letter) -> paper.LetterPaper:
    """A message to who has nothing but an address, or a notice of default."""
    said = letter.content
    asked = (
        paper.PaymentSlip(Decimal(said["outstanding"]), said["reference"]) if "outstanding" in said else None
    )
    return paper.plain_letter(
        Wording(letter.subject, said["text"], None, said["language"], None),
        municipality=loket.settings.municipality,
        addressee=paper.Addressee(said["name"], tuple(said["lines"])),
        dated_on=letter.created_at.astimezone(BRUSSELS).date(),
        reference=case.reference,
        contact_name=definition.contact.name,
        payment=asked,
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
            *_money(said),
            *(f"{name}: {' '.join(lines)}" for name, lines in grounds if any(lines)),
        ),
        appeal=definition.appeal.get(letters.LANGUAGE),
        signatories=(),
        contact_name=definition.contact.name,
        language=letters.LANGUAGE,
    )


def _money(said: Json) -> list[str]:
    """What a granted premium is worth, and where it goes; an account only as the citizen recognises it."""
    if not said["amount"] or said["result"] == DecisionStatus.REFUSED:
        return []
    granted = f"U krijgt {notation.amount(Decimal(said['amount']), letters.LANGUAGE)}."
    account = f" op rekening {said['account']}" if said["account"] else ""
    within = f" Wij betalen dat{account} binnen {said['payout_days']} dagen." if said["payout_days"] else ""
    return [granted + within]


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
            body=_ANNOUNCED[_named(letter)],
            filename=f"{_named(letter)}-{case.reference}.pdf",
            document=content.content,
            category=_CATEGORIES[_named(letter)],
        )
        if person.insz_sealed
        else NoEbox.NO_EBOX
    )

    async def write(work: Work) -> None:
        if isinstance(answer, NoEbox):
            await letters.no_ebox(work, letter_id)
        else:
            await letters.taken_by_ebox(work, letter_id, answer.notification)

    return Done({"ebox": None if isinstance(answer, NoEbox) else answer.notification}, write)


async def read_ebox(loket: Loket, effect: Effect) -> Done:
    """Ask what became of a letter in the eBox."""
    letter_id = UUID(effect.payload["letter_id"])
    async with loket.database.transaction() as session:
        letter = await session.get_one(Letter, letter_id)
    if letter.ebox_id is None or letter.status is not LetterStatus.SENT:
        return Done({"skipped": letter.status})
    told = await loket.systems.ebox.status(letter.ebox_id)

    async def write(work: Work) -> None:
        match told.status:
            case EboxStatus.DELIVERED | EboxStatus.OPENED:
                at = told.delivered_at or told.opened_at or work.now
                await letters.arrived_in_ebox(work, letter_id, at)
            case EboxStatus.REFUSED:
                await letters.refused_by_ebox(work, letter_id, told.reason)
            case EboxStatus.SENT:
                pass

    return Done({"status": told.status}, write)


async def letter_given_up(work: Work, _: Case, effect: Effect) -> None:
    await letters.not_made(work, UUID(effect.payload["letter_id"]))


async def ebox_given_up(work: Work, _: Case, effect: Effect) -> None:
    """What the eBox does not take goes by post: the term to send it runs."""
    await letters.no_ebox(work, UUID(effect.payload["letter_id"]))
