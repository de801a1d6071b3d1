"""Why an action is not possible now, as clients show it."""

from enum import Enum


class Why(Enum):
    """Why something is not possible now: in Dutch and in English."""

    ENDED = ("Het dossier is afgesloten.", "The case has ended.")
    RUNS = ("Het dossier loopt nog.", "The case is still open.")
    HANDED_OVER = ("Er is al geleverd of uitbetaald.", "The goods or the money were handed over already.")
    AWAITS_ANSWER = (
        "Wij wachten op een antwoord van de aanvrager.",
        "The applicant was asked for more; an answer is awaited.",
    )
    AWAITS_ANOTHER = (
        "Wij wachten op de bevestiging van een medeaanvrager.",
        "A co-applicant was asked to confirm; their answer is awaited.",
    )
    NOT_ASKED = ("Er is niets gevraagd.", "Nothing was asked.")
    NO_TURN = (
        "Deze stap is voorbij, of nog niet aan de beurt.",
        "This step is over, or its turn has not come.",
    )
    NOBODYS = ("Het dossier is aan niemand toegewezen.", "The case is assigned to nobody.")
    DECIDED = (
        "Er is al beslist: deze termijn is voorbij.",
        "It was decided already: this term is over.",
    )
    STANDS_STILL = ("De termijn staat al stil.", "The term stands still already.")
    RUNS_ON = ("De termijn staat niet stil.", "The term does not stand still.")
    NEVER_STANDS_STILL = (
        "De termijn van deze procedure kan niet stilstaan.",
        "The term of this procedure never stands still.",
    )
    NOT_REFUSED = ("Het dossier is niet geweigerd.", "The case was not refused.")
    NO_INVOICE = ("Er is geen factuur.", "There is no invoice.")
    NOTHING_DUE = ("Er staat niets (meer) open.", "Nothing is due.")
    NO_DELIVERY = ("Er is (nog) niets te leveren.", "There is nothing to deliver (yet).")
    DELIVERED = ("De levering is gebeurd of geannuleerd.", "The delivery was made or cancelled.")
    PLANNED = ("Er is al een tijdstip afgesproken.", "A slot was agreed already.")
    NOT_PLANNED = ("Er is geen tijdstip afgesproken.", "No slot is agreed.")
    NO_REFUND = (
        "Er is geen terugbetaling die besteld kan worden.",
        "There is no refund that can be ordered.",
    )
    NO_DEPOSIT = ("Er is geen waarborg (meer) vrij te geven.", "No deposit is held (any more).")
    NOTHING_PREPARED = (
        "Er is nog geen beslissing voorbereid.",
        "No decision was prepared yet.",
    )
    WITH_THE_BODY = (
        "De beslissing ligt al bij het bestuursorgaan.",
        "The decision is with its body already.",
    )
    NOT_TO_CONFIRM = (
        "Er is geen gewijzigde beslissing te bevestigen.",
        "There is no changed decision to confirm.",
    )
    NO_CHECK = (
        "Er is geen controle waarmee dit kan.",
        "There is no check with which this is possible.",
    )
    NOBODY_TO_ASK = ("Elk advies is al gevraagd.", "All advice was asked already.")
    NO_ADVICE = (
        "Er is geen advies waarop u kunt antwoorden.",
        "There is no advice that you can give.",
    )
    NOT_AWAITED = ("Er wordt geen advies verwacht.", "No advice is awaited.")
    NO_PAYOUT = ("Er is geen uitbetaling waarmee dit kan.", "There is no payout with which this is possible.")
    PAYING_ALREADY = ("De uitbetaling loopt al.", "The payout is under way already.")
    YOURS = ("Iemand anders moet dit goedkeuren.", "Somebody else must approve this.")
    MONEY_SENT = ("Het geld is al onderweg.", "The money is on its way already.")
    NO_TASK = ("Er staat geen taak open.", "No task is open.")
    NOTHING_TO_RATE = (
        "Er is nog geen fase voorbij, of u hebt er al iets over gezegd.",
        "No phase is over yet, or you said already how you found it.",
    )
    NO_MESSAGE = ("Er is geen bericht dat opnieuw kan.", "There is no message to send again.")

    def said(self, language: str) -> str:
        dutch, english = self.value
        return english if language == "en" else dutch
