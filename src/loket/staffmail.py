"""E-mails to a department: in them the case's number and the way to it, and nobody's name."""

from loket import letterhead, newwork, wording
from loket.app import Loket
from loket.channels.email import Mail
from loket.letterhead import Block, Button, Facts, Paragraph
from loket.outcome import Done
from loket.records import Case, Effect

SENT = "U krijgt deze e-mail omdat dit adres bij {name} nieuwe dossiers ontvangt."


async def send(loket: Loket, effect: Effect) -> Done:
    """Tell a department that a case waits; not once somebody took it."""
    async with loket.database.transaction() as session:
        case = await session.get_one(Case, effect.case_id)
    if not newwork.waits(case):
        return Done({"skipped": "somebody has it, or it ended"})
    receipt = await loket.systems.email.send(_letter(loket, effect, case))
    return Done({"message_id": receipt.message_id, "answer": receipt.answer})


def _letter(loket: Loket, effect: Effect, case: Case) -> Mail:
    """In Dutch, the language of the house."""
    municipality = loket.settings.municipality
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    subject = f"Nieuw werk: dossier {case.reference}"
    facts = (
        ("Dossier", case.reference),
        ("Procedure", definition.title.nl),
        ("Beslissen ten laatste op", wording.day(case.due_on, "nl")),
    )
    blocks: list[Block] = [
        Paragraph("Beste collega,"),
        Paragraph("Een dossier wacht op een behandelaar. Niemand heeft het al."),
        Facts(facts),
        Button("Open het dossier", f"{loket.settings.website_url}{newwork.PAGE}{case.reference}"),
    ]
    closing: list[Block] = [Paragraph(f"Loket van {municipality.name}")]
    sent = SENT.format(name=municipality.name)
    html = letterhead.page(subject, blocks, closing, municipality=municipality, language="nl", sent=sent)
    return Mail(
        id=effect.id,
        to=effect.payload["to"],
        subject=subject,
        text=wording.plain([*blocks, *closing]),
        html=html,
        language="nl",
    )
