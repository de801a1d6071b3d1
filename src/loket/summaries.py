"""What happened, in one line for the citizen's timeline."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from loket import notation
from loket.lifecycle import EventType as E

# fmt: off
LINES: dict[E, tuple[str, str]] = {
    E.SUBMITTED:             ("U diende uw aanvraag in.",                            "You handed in your application."),
    E.SCREENING_STARTED:     ("Wij kijken na of wij uw aanvraag kunnen behandelen.", "We check whether we can handle your application."),
    E.REFERRED:              ("Een medewerker bekijkt uw aanvraag.",                 "A member of staff looks at your application."),
    E.ADMISSIBLE:            ("Uw aanvraag is ontvankelijk.",                        "Your application is admissible."),
    E.INADMISSIBLE:          ("Uw aanvraag is niet ontvankelijk.",                   "Your application is not admissible."),
    E.INFORMATION_REQUESTED: ("Wij vroegen u om meer informatie.",                   "We asked you for more information."),
    E.INFORMATION_REMINDED:  ("Wij herinnerden u aan onze vraag.", "We reminded you of our question."),
    E.INFORMATION_SUPPLIED:  ("U gaf ons meer informatie.",                          "You gave us more information."),
    E.INFORMATION_LAPSED:    ("Wij kregen op tijd geen antwoord.",                   "We got no answer in time."),
    E.CO_APPLICANT_ASKED:    ("Wij vroegen de medeaanvrager om te bevestigen.", "We asked the co-applicant to confirm."),
    E.CO_APPLICANT_REMINDED: ("Wij vroegen de medeaanvrager nog eens om te bevestigen.", "We asked the co-applicant to confirm again."),
    E.CO_APPLICANT_CONFIRMED: ("De medeaanvrager bevestigde de aanvraag.", "The co-applicant confirmed the application."),
    E.CO_APPLICANT_REFUSED:  ("De medeaanvrager bevestigde de aanvraag niet.", "The co-applicant did not agree to the application."),
    E.CO_APPLICANT_LAPSED:   ("De medeaanvrager antwoordde niet op tijd.", "The co-applicant did not answer in time."),
    E.ASSESSMENT_STARTED:    ("Wij beoordelen uw aanvraag.", "We assess your application."),
    E.CHECK_STARTED:         ("Wij vragen een gegeven op.", "We ask for a piece of data."),
    E.CHECK_ANSWERED:        ("Wij kregen antwoord op onze vraag.", "We got an answer to our question."),
    E.CHECK_FAILED:          ("Wij konden een gegeven niet opvragen.", "We could not get a piece of data."),
    E.CHECK_REPLACED:        ("Uw document telt als bewijs.", "Your document counts as proof."),
    E.ADVICE_REQUESTED:      ("Wij vroegen om advies.", "We asked for advice."),
    E.ADVICE_REMINDED:       ("Wij vroegen nog eens om advies.", "We asked for advice again."),
    E.ADVICE_GIVEN:          ("Wij kregen advies.", "We got advice."),
    E.ADVICE_LAPSED:         ("Er kwam geen advies op tijd; wij gaan verder.", "No advice came in time; we go on."),
    E.ADVICE_WITHDRAWN:      ("Wij hebben het advies niet meer nodig.", "We need the advice no more."),
    E.ADVICE_COMPLETE:       ("Alle adviezen zijn binnen.", "All advice is in."),
    E.DECISION_PENDING:      ("Uw aanvraag is klaar voor een beslissing.",           "Your application is ready for a decision."),
    E.DECISION_PREPARED:     ("De beslissing wordt voorbereid.", "The decision is being prepared."),
    E.DECISION_SENT:         ("Het ontwerp van beslissing is klaar.", "The draft of the decision is ready."),
    E.DECISION_ON_AGENDA:    ("Uw aanvraag staat op de agenda van {meeting_on}.", "Your application is on the agenda of {meeting_on}."),
    E.DECISION_POSTPONED:    ("De beslissing is uitgesteld.", "The decision was put off."),
    E.DECISION_MODIFIED:     ("De beslissing wordt nagekeken.", "The decision is being verified."),
    E.DECISION_SIGNED:       ("De beslissing is ondertekend.", "The decision was signed."),
    E.DECISION_WITHDRAWN:    ("De beslissing is ingetrokken.", "The decision was withdrawn."),
    E.LETTER_SENT:           ("Er is een brief verstuurd.", "A letter was sent."),
    E.APPROVED:              ("Uw aanvraag is goedgekeurd.",                         "Your application is approved."),
    E.PARTLY_APPROVED:       ("Uw aanvraag is deels goedgekeurd.", "Your application is approved in part."),
    E.REJECTED:              ("Uw aanvraag is geweigerd.",                           "Your application is refused."),
    E.STAGE_PASSED:          ("Deze stap is afgerond.",                              "This step is done."),
    E.PAYMENT_DUE:           ("Uw factuur staat klaar.",                             "Your invoice is ready."),
    E.PAYMENT_RECEIVED:      ("Wij ontvingen {amount}.",                             "We received {amount}."),
    E.PAID:                  ("Wij ontvingen uw betaling.",                          "We received your payment."),
    E.PAYMENT_REMINDED:      ("Wij herinnerden u aan uw factuur.",                   "We reminded you of your invoice."),
    E.DEFAULT_NOTICE_SENT:   ("Wij stelden u in gebreke.",                           "We gave you notice of default."),
    E.HANDED_OVER:           ("Uw factuur is overgedragen voor invordering.",        "Your invoice was handed over for recovery."),
    E.WRITTEN_OFF:           ("Uw factuur is buiten invordering gesteld.",           "Your invoice was written off."),
    E.INVOICE_CREDITED:      ("Van uw factuur is {amount} teruggenomen.",            "We took {amount} of your invoice back."),
    E.CHARGED_BACK:          ("Uw bank haalde {amount} terug.",                      "Your bank took {amount} back."),
    E.CHARGEBACK_REVERSED:   ("Wij kregen {amount} toch van uw bank.",               "We got {amount} from your bank after all."),
    E.REFUND_DUE:            ("U krijgt {amount} terug.",                            "You get {amount} back."),
    E.REFUNDED:              ("Wij stortten {amount} terug.",                        "We paid {amount} back."),
    E.SLOT_NEEDED:           ("Kies een dag waarop wij langskomen.",                 "Choose a day on which we come by."),
    E.SLOT_REMINDED:         ("Wij vroegen u nog eens om een dag te kiezen.",        "We asked you again to choose a day."),
    E.PLANNED:               ("Wij komen langs op {window}.",                        "We come by on {window}."),
    E.RESCHEDULED:           ("De afspraak is verplaatst naar {window}.",            "The appointment is moved to {window}."),
    E.SLOT_MOVED:            ("Wij moesten de afspraak verplaatsen naar {window}.",  "We had to move the appointment to {window}."),
    E.SLOT_LOST:             ("De afspraak gaat niet door.",                         "The appointment is off."),
    E.DELIVERY_PENDING:      ("Wij komen langs.",                                    "We will come by."),
    E.DELIVERED:             ("Wij kwamen langs zoals afgesproken.",                 "We came by as agreed."),
    E.MISSED:                ("Wij kwamen langs, maar het is niet gelukt.",          "We came by, but it did not work out."),
    E.PAYOUT_DUE:            ("Wij betalen u uit.", "We will pay you."),
    E.PAYOUT_ORDERED:        ("De uitbetaling is aangevraagd.", "The payout was ordered."),
    E.PAYOUT_APPROVED:       ("De uitbetaling is goedgekeurd.", "The payout was approved."),
    E.PAYOUT_DECLINED:       ("De uitbetaling wordt nagekeken.", "The payout is being verified."),
    E.PAYOUT_CANCELLED:      ("De uitbetaling gaat niet door.", "The payout was cancelled."),
    E.PAYOUT_SENT:           ("De uitbetaling is doorgegeven aan de bank.", "The payout was passed on to the bank."),
    E.PAYOUT_REJECTED:       ("De bank kon het bedrag niet uitbetalen.", "The bank could not pay the amount."),
    E.PAYOUT_RETURNED:       ("Het bedrag kwam terug.", "The amount came back."),
    E.PAYOUT_IN_DOUBT:       ("Wij kijken de uitbetaling na.", "We look into the payout."),
    E.ACCOUNT_NEEDED:        ("Wij vroegen u om een ander rekeningnummer.", "We asked you for another account number."),
    E.ACCOUNT_CORRECTED:     ("U gaf een ander rekeningnummer.", "You gave another account number."),
    E.ACCOUNT_LAPSED:        ("Wij kregen op tijd geen ander rekeningnummer.",       "We got no other account number in time."),
    E.PAID_OUT:              ("Wij hebben u uitbetaald.", "We have paid you."),
    E.COMPLETED:             ("Uw dossier is afgerond.",                             "Your case is completed."),
    E.VALIDITY_ENDING:       ("Uw vergunning of recht loopt binnenkort af.", "Your permit or right ends soon."),
    E.VALIDITY_ENDED:        ("Uw vergunning of recht is afgelopen.", "Your permit or right has ended."),
    E.RENEWAL_OFFERED:       ("Er staat een nieuwe aanvraag voor u klaar.", "A new application is ready for you."),
    E.DEPOSIT_RETURNED:      ("Wij gaven uw waarborg vrij.", "We released your deposit."),
    E.WITHDRAWN:             ("De aanvraag is ingetrokken.",                         "The application is withdrawn."),
    E.CANCELLED:             ("Uw dossier is stopgezet.",                            "Your case is stopped."),
    E.REOPENED:              ("Uw dossier is heropend.",                             "Your case is reopened."),
    E.ASSIGNED:              ("Een medewerker behandelt uw dossier.",                "A member of staff handles your case."),
    E.RELEASED:              ("Uw dossier wacht op een andere medewerker.",          "Your case waits for another member of staff."),
    E.NOTE_ADDED:            ("Er is een interne nota gemaakt.",                     "An internal note was made."),
    E.SUSPENDED:             ("De termijn staat stil.",                              "The term stands still."),
    E.RESUMED:               ("De termijn loopt verder.",                            "The term runs on."),
    E.TERM_EXTENDED:         ("De termijn is verlengd.",                             "The term is extended."),
    E.TERM_LAPSED:           ("De termijn is verstreken.",                           "The term has lapsed."),
    E.TASK_OPENED:           ("Een medewerker kijkt iets na.",                       "A member of staff looks into something."),
    E.TASK_DONE:             ("Een medewerker keek iets na.",                        "A member of staff looked into something."),
    E.EFFECT_DONE:           ("{system} is op de hoogte.",                           "{system} was told."),
    E.EFFECT_RETRIED:        ("{system} antwoordt nog niet; wij proberen opnieuw.",  "{system} does not answer yet; we try again."),
    E.EFFECT_PARKED:         ("{system} kon dit niet verwerken; wij kijken het na.", "{system} could not process this; we look into it."),
    E.EFFECT_SKIPPED:        ("{system} werd niet op de hoogte gebracht.",           "{system} was not told."),
}
# fmt: on
"""Dutch and English."""

SYSTEMS = {
    "dosis": ("DOSIS", "DOSIS"),
    "mbp": ("Mijn Burgerprofiel", "Mijn Burgerprofiel"),
    "email": ("E-mail", "E-mail"),
    "sms": ("SMS", "SMS"),
    "accounting": ("De boekhouding", "Accounting"),
    "planning": ("De planning", "Planning"),
    "payments": ("De betaalmodule", "The payment module"),
    "magda": ("MAGDA", "MAGDA"),
    "minutes": ("Het notuleringspakket", "The minutes system"),
    "ebox": ("De eBox", "The eBox"),
    "paper": ("Het document", "The document"),
}


def of_event(type: E, data: dict[str, Any], language: str) -> str:
    """The line for an event, in `language` where it is nl or en, else in Dutch."""
    spoken = "en" if language == "en" else "nl"
    system = SYSTEMS.get(data.get("system", ""), ("", ""))[spoken == "en"]
    values = {"amount": "", "window": "", "meeting_on": "", "system": system}
    if data.get("amount"):
        values["amount"] = notation.amount(Decimal(data["amount"]), spoken)
    if data.get("starts_at"):
        moments = (datetime.fromisoformat(data[name]) for name in ("starts_at", "ends_at"))
        values["window"] = notation.window(notation.Window(*moments), spoken)
    if data.get("meeting_on"):
        values["meeting_on"] = notation.day(date.fromisoformat(data["meeting_on"]), spoken)
    return LINES[type][spoken == "en"].format_map(values)
