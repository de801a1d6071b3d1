"""Letters to those whose advice is asked: in them the question and the case's number, and nobody's name."""

from uuid import UUID

from loket import letterhead, wording
from loket.advice import token_of
from loket.app import Loket
from loket.assessment import AWAITED
from loket.channels.email import Mail
from loket.definition import Adviser, Definition
from loket.errors import Declined
from loket.letterhead import Block, Button, Facts, Paragraph
from loket.outcome import Done
from loket.records import Advice, AdviserKind, Case, Effect

SENT = "U krijgt deze e-mail omdat {name} u om advies vraagt."


async def send(loket: Loket, effect: Effect) -> Done:
    """Ask by e-mail, or remind; an external adviser answers with the link in it."""
    async with loket.database.transaction() as session:
        advice = await session.get_one(Advice, UUID(effect.payload["advice_id"]))
        case = await session.get_one(Case, advice.case_id)
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    adviser = definition.adviser(advice.adviser)
    if advice.status not in AWAITED:
        return Done({"skipped": "nobody awaits it any more"})
    if adviser is None or not adviser.email:
        raise Declined("email", "no e-mail address is known")
    receipt = await loket.systems.email.send(
        _letter(loket, effect, adviser, definition, advice, case, adviser.email)
    )
    return Done({"message_id": receipt.message_id, "answer": receipt.answer})


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
    subject = f"Advies gevraagd voor dossier {case.reference}"
    if effect.payload["reminder"]:
        subject = f"Herinnering: {subject[0].lower()}{subject[1:]}"
    blocks: list[Block] = [
        Paragraph("Beste,"),
        Paragraph(f"{municipality.name} vraagt uw advies over een dossier."),
        Facts(
            (
                ("Dossier", case.reference),
                ("Aan", adviser.title.nl),
                ("Antwoord ten laatste op", wording.day(advice.due_on, "nl")),
            )
        ),
        Paragraph("Onze vraag:"),
        Paragraph(advice.question),
        *_how(loket, advice),
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


def _how(loket: Loket, advice: Advice) -> list[Block]:
    if advice.kind is not AdviserKind.EXTERNAL:
        return [Paragraph("Meld u aan in Loket: deze vraag staat in uw lijst met adviezen.")]
    link = f"{loket.settings.website_url}/advies?token={token_of(loket.vault, advice)}"
    return [
        Button("Geef uw advies", link),
        Paragraph(
            "Deze link dient alleen voor dit advies. Geef hem niet door: wie hem heeft, kan antwoorden."
        ),
    ]
