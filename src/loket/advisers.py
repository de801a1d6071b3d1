"""Letters to those whose advice is asked: in them the case's number and the way to the question, no more.

The question itself may name the applicant, and e-mail is no place for that.
"""

from uuid import UUID

from loket import letterhead, newwork, notation, wording
from loket.advice import Letter, token_of
from loket.app import Loket
from loket.assessment import AWAITED
from loket.channels.email import Mail
from loket.definition import Adviser, Definition
from loket.errors import Declined
from loket.letterhead import Block, Button, Facts, Paragraph
from loket.outcome import Done
from loket.records import Advice, AdviserKind, Case, Effect

SUBJECTS = {
    Letter.ASKED: "Advies gevraagd voor dossier {reference}",
    Letter.REMINDED: "Herinnering: advies gevraagd voor dossier {reference}",
    Letter.WITHDRAWN: "Advies niet meer nodig voor dossier {reference}",
}
OPENINGS = {
    Letter.ASKED: "{name} vraagt uw advies over een dossier.",
    Letter.REMINDED: "{name} vraagt uw advies over een dossier.",
    Letter.WITHDRAWN: "{name} vroeg uw advies over een dossier.",
}
WITHDRAWN = "Dat advies is niet meer nodig: u hoeft niet meer te antwoorden."
SENT = "U krijgt deze e-mail omdat {name} u om advies vraagt."


async def send(loket: Loket, effect: Effect) -> Done:
    """Ask by e-mail, remind, or say that it is needed no more; outside it is answered with the link."""
    async with loket.database.transaction() as session:
        advice = await session.get_one(Advice, UUID(effect.payload["advice_id"]))
        case = await session.get_one(Case, advice.case_id)
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    adviser = definition.adviser(advice.adviser)
    about = _about(effect)
    if about is not Letter.WITHDRAWN and advice.status not in AWAITED:
        return Done({"skipped": "nobody awaits it any more"})
    if adviser is None or not adviser.email:
        raise Declined("email", "no e-mail address is known")
    receipt = await loket.systems.email.send(
        _letter(loket, effect, adviser, definition, advice, case, adviser.email)
    )
    return Done({"message_id": receipt.message_id, "answer": receipt.answer})


def _about(effect: Effect) -> Letter:
    told = effect.payload
    # what was left before there were three kinds
    earlier = Letter.REMINDED if told.get("reminder") else Letter.ASKED
    return Letter(told.get("about", earlier))


def _letter(
    loket: Loket,
    effect: Effect,
    adviser: Adviser,
    definition: Definition,
    advice: Advice,
    case: Case,
    address: str,
) -> Mail:
    """In Dutch, the language in which administrations write to each other."""
    municipality = loket.settings.municipality
    about = _about(effect)
    subject = SUBJECTS[about].format(reference=case.reference)
    facts = [("Dossier", case.reference), ("Aan", adviser.title.nl)]
    if about is not Letter.WITHDRAWN:
        facts.append(("Antwoord ten laatste op", notation.day(advice.due_on, "nl")))
    said = [Paragraph(WITHDRAWN)] if about is Letter.WITHDRAWN else _how(loket, advice, case)
    blocks: list[Block] = [
        Paragraph("Beste,"),
        Paragraph(OPENINGS[about].format(name=municipality.name)),
        Facts(tuple(facts)),
        *said,
    ]
    closing: list[Block] = [
        Paragraph(f"Met vriendelijke groeten,\n{definition.department.nl} van {municipality.name}"),
    ]
    sent = SENT.format(name=municipality.name)
    html = letterhead.page(subject, blocks, closing, municipality=municipality, language="nl", sent=sent)
    return Mail(
        id=effect.id,
        to=address,
        subject=subject,
        text=wording.plain([*blocks, *closing]),
        html=html,
        language="nl",
        in_reply_to_case=case.reference,
    )


def _how(loket: Loket, advice: Advice, case: Case) -> list[Block]:
    website = loket.settings.website_url
    if advice.kind is not AdviserKind.EXTERNAL:
        return [
            Button("Lees de vraag", f"{website}{newwork.PAGE}{case.reference}"),
            Paragraph("Meld u aan in Loket: deze vraag staat in uw lijst met adviezen."),
        ]
    return [
        Button("Lees de vraag en geef uw advies", f"{website}/advies?token={token_of(loket.vault, advice)}"),
        Paragraph(
            "Deze link dient alleen voor dit advies. Geef hem niet door: wie hem heeft, kan antwoorden."
        ),
    ]
