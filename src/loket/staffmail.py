"""E-mails to a department: in them what waits and the way to it, and nobody's name."""

from uuid import UUID

from loket import letterhead, newwork, notation, wording
from loket.app import Loket
from loket.channels.email import Mail
from loket.letterhead import Block, Button, Facts, Paragraph
from loket.outcome import Done
from loket.records import Case, Effect, WebhookPause, WebhookState, WebhookSubscription

SENT = "U krijgt deze e-mail omdat dit adres bij {name} nieuwe dossiers ontvangt."
SENT_TO_OPERATORS = "U krijgt deze e-mail omdat dit adres bij {name} over storingen hoort."
WEBHOOKS = "/beheer/webhooks"
"""Of the back office, on the municipality's website."""
NOT_TOLD = {
    WebhookPause.UNREACHABLE: "Het nam gedurende 48 uur geen enkel bericht aan.",
    WebhookPause.GONE: "Het antwoordde dat het geen berichten meer wil (410).",
    WebhookPause.NOT_ALLOWED: "Wie de berichten aanvroeg, mag deze gebeurtenissen niet meer zien.",
    WebhookPause.CURSOR_EXPIRED: "Wat het als volgende moest horen, wordt niet meer bewaard.",
}


async def send(loket: Loket, effect: Effect) -> Done:
    """Tell a department that a case waits, not once somebody took it; or that a subscriber was given up."""
    if "webhook_id" in effect.payload:
        return await _send_to_operators(loket, effect)
    async with loket.database.transaction() as session:
        case = await session.get_one(Case, effect.case_id)
    if not newwork.waits(case):
        return Done({"skipped": "somebody has it, or it ended"})
    return await _post(loket, _letter(loket, effect, case))


async def _send_to_operators(loket: Loket, effect: Effect) -> Done:
    async with loket.database.transaction() as session:
        subscription = await session.get(WebhookSubscription, UUID(effect.payload["webhook_id"]))
    if subscription is None or subscription.state is not WebhookState.PAUSED:
        return Done({"skipped": "it is told again, or it ended"})
    facts = (
        ("Adres", subscription.url),
        ("Aangevraagd door", subscription.owner_name),
        ("Laatste fout", subscription.last_error or "geen"),
    )
    blocks: list[Block] = [
        Paragraph("Beste collega,"),
        Paragraph("Een ander systeem krijgt geen gebeurtenissen meer van Loket."),
        Paragraph(NOT_TOLD.get(subscription.pause or WebhookPause.ASKED, "")),
        Facts(facts),
        Button("Bekijk de webhooks", f"{loket.settings.website_url}{WEBHOOKS}"),
    ]
    return await _post(loket, _mail(loket, effect, "Webhook onderbroken", blocks, SENT_TO_OPERATORS))


async def _post(loket: Loket, mail: Mail) -> Done:
    receipt = await loket.systems.email.send(mail)
    return Done({"message_id": receipt.message_id, "answer": receipt.answer})


def _letter(loket: Loket, effect: Effect, case: Case) -> Mail:
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    facts = (
        ("Dossier", case.reference),
        ("Procedure", definition.title.nl),
        ("Beslissen ten laatste op", notation.day(case.due_on, "nl")),
    )
    blocks: list[Block] = [
        Paragraph("Beste collega,"),
        Paragraph("Een dossier wacht op een behandelaar. Niemand heeft het al."),
        Facts(facts),
        Button("Open het dossier", f"{loket.settings.website_url}{newwork.PAGE}{case.reference}"),
    ]
    return _mail(loket, effect, f"Nieuw werk: dossier {case.reference}", blocks, SENT)


def _mail(loket: Loket, effect: Effect, subject: str, blocks: list[Block], sent: str) -> Mail:
    """In Dutch, the language of the house."""
    municipality = loket.settings.municipality
    closing: list[Block] = [Paragraph(f"Loket van {municipality.name}")]
    html = letterhead.page(
        subject,
        blocks,
        closing,
        municipality=municipality,
        language="nl",
        sent=sent.format(name=municipality.name),
    )
    return Mail(
        id=effect.id,
        to=effect.payload["to"],
        subject=subject,
        text=wording.plain([*blocks, *closing]),
        html=html,
        language="nl",
    )
