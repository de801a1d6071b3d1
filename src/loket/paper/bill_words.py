"""The words of invoices and credit notes about VAT, what is taken back, and what happens to the money."""

BILL_WORDS = {
    "nl": {
        "vat_number": "Btw-nummer",
        "vat_included": "De bedragen zijn btw inbegrepen.",
        "vat_rate": "Btw-tarief",
        "vat_net": "Zonder btw",
        "vat_amount": "Btw",
        "vat_with": "Met btw",
        "vat_exempt": "Vrijgesteld",
        "customer": "Klant: {name}, ondernemingsnummer {number}",
        "credit_note": "Creditnota",
        "credit_number": "Nummer",
        "credit_date": "Datum",
        "credit_of": "Bij factuur",
        "credit_whole": "Met deze creditnota nemen wij factuur {number} van {date} helemaal terug.",
        "credit_part": "Met deze creditnota nemen wij een deel terug van factuur {number} van {date}.",
        "credit_rest": (
            "Met deze creditnota nemen wij terug wat nog overbleef van factuur {number} van {date}."
        ),
        "credit_reason": "Reden",
        "credit_total": "Teruggenomen",
        "credit_costs": "Kosten van herinneringen",
        "credit_next": "Wat betekent dit voor u?",
        "refund_ONLINE": (
            "Wij betalen {amount} terug langs dezelfde weg waarlangs u online betaalde. U hoeft "
            "niets te doen. Het kan enkele werkdagen duren voor u het bedrag ziet."
        ),
        "refund_TRANSFER": (
            "Wij storten {amount} terug op de rekening waarvan u betaalde. U hoeft niets te doen, "
            "tenzij wij u om uw rekeningnummer vragen."
        ),
        "refund_COUNTER": "U krijgt {amount} terug aan het loket, waar u betaalde.",
        "refund_MIXED": (
            "Wij betalen {amount} terug langs de weg waarlangs u betaalde. Wij nemen contact met u "
            "op als wij daarvoor iets van u nodig hebben."
        ),
        "credit_settled": "U hoeft voor deze factuur niets meer te betalen.",
        "credit_less": "Trek {amount} af van wat u voor deze factuur nog moet betalen.",
        "credit_vat_back": (
            "Btw terug te storten aan de Staat in de mate waarin ze oorspronkelijk in aftrek werd gebracht."
        ),
        "reason_withdrawn": "U trok uw aanvraag in.",
        "reason_cancelled": "De aanvraag is stopgezet.",
        "reason_inadmissible": "De aanvraag is niet ontvankelijk.",
        "reason_rejected": "De aanvraag is geweigerd.",
    },
    "en": {
        "vat_number": "VAT number",
        "vat_included": "Amounts include VAT.",
        "vat_rate": "VAT rate",
        "vat_net": "Without VAT",
        "vat_amount": "VAT",
        "vat_with": "With VAT",
        "vat_exempt": "Exempt",
        "customer": "Customer: {name}, enterprise number {number}",
        "credit_note": "Credit note",
        "credit_number": "Number",
        "credit_date": "Date",
        "credit_of": "For invoice",
        "credit_whole": "With this credit note we take back invoice {number} of {date} as a whole.",
        "credit_part": "With this credit note we take back a part of invoice {number} of {date}.",
        "credit_rest": "With this credit note we take back what was left of invoice {number} of {date}.",
        "credit_reason": "Reason",
        "credit_total": "Taken back",
        "credit_costs": "Costs of reminders",
        "credit_next": "What does this mean for you?",
        "refund_ONLINE": (
            "We pay {amount} back over the same way that you paid online. You need not do "
            "anything. It may take some working days before you see it."
        ),
        "refund_TRANSFER": (
            "We pay {amount} back to the account that you paid from. You need not do anything, "
            "unless we ask for your account number."
        ),
        "refund_COUNTER": "You get {amount} back at the desk where you paid.",
        "refund_MIXED": (
            "We pay {amount} back over the way that you paid. We will contact you if we need "
            "anything from you for that."
        ),
        "credit_settled": "You have nothing more to pay for this invoice.",
        "credit_less": "Take {amount} off what you still have to pay for this invoice.",
        "credit_vat_back": "VAT to be repaid to the State to the extent that it was originally deducted.",
        "reason_withdrawn": "You withdrew your application.",
        "reason_cancelled": "The application was cancelled.",
        "reason_inadmissible": "The application is inadmissible.",
        "reason_rejected": "The application was refused.",
    },
    "fr": {
        "vat_number": "Numéro de TVA",
        "vat_included": "Les montants sont TVA comprise.",
        "vat_rate": "Taux de TVA",
        "vat_net": "Hors TVA",
        "vat_amount": "TVA",
        "vat_with": "TVA comprise",
        "vat_exempt": "Exonéré",
        "customer": "Client : {name}, numéro d'entreprise {number}",
        "credit_note": "Note de crédit",
        "credit_number": "Numéro",
        "credit_date": "Date",
        "credit_of": "Pour la facture",
        "credit_whole": (
            "Par cette note de crédit, nous annulons entièrement la facture {number} du {date}."
        ),
        "credit_part": (
            "Par cette note de crédit, nous annulons une partie de la facture {number} du {date}."
        ),
        "credit_rest": (
            "Par cette note de crédit, nous annulons ce qui restait de la facture {number} du {date}."
        ),
        "credit_reason": "Motif",
        "credit_total": "Montant crédité",
        "credit_costs": "Frais de rappel",
        "credit_next": "Qu'est-ce que cela signifie pour vous ?",
        "refund_ONLINE": (
            "Nous vous remboursons {amount} par la voie par laquelle vous avez payé en ligne. Vous "
            "ne devez rien faire. Cela peut prendre quelques jours ouvrables."
        ),
        "refund_TRANSFER": (
            "Nous versons {amount} sur le compte à partir duquel vous avez payé. Vous ne devez "
            "rien faire, sauf si nous vous demandons votre numéro de compte."
        ),
        "refund_COUNTER": "Vous recevez {amount} au guichet où vous avez payé.",
        "refund_MIXED": (
            "Nous vous remboursons {amount} par la voie par laquelle vous avez payé. Nous vous "
            "contactons si nous avons besoin de quelque chose."
        ),
        "credit_settled": "Vous ne devez plus rien payer pour cette facture.",
        "credit_less": "Déduisez {amount} de ce que vous devez encore payer pour cette facture.",
        "credit_vat_back": "TVA à reverser à l'État dans la mesure où elle a été initialement déduite.",
        "reason_withdrawn": "Vous avez retiré votre demande.",
        "reason_cancelled": "La demande a été annulée.",
        "reason_inadmissible": "La demande n'est pas recevable.",
        "reason_rejected": "La demande a été refusée.",
    },
    "de": {
        "vat_number": "MwSt.-Nummer",
        "vat_included": "Die Beträge enthalten die Mehrwertsteuer.",
        "vat_rate": "MwSt.-Satz",
        "vat_net": "Ohne MwSt.",
        "vat_amount": "MwSt.",
        "vat_with": "Mit MwSt.",
        "vat_exempt": "Befreit",
        "customer": "Kunde: {name}, Unternehmensnummer {number}",
        "credit_note": "Gutschrift",
        "credit_number": "Nummer",
        "credit_date": "Datum",
        "credit_of": "Zur Rechnung",
        "credit_whole": "Mit dieser Gutschrift nehmen wir die Rechnung {number} vom {date} ganz zurück.",
        "credit_part": (
            "Mit dieser Gutschrift nehmen wir einen Teil der Rechnung {number} vom {date} zurück."
        ),
        "credit_rest": (
            "Mit dieser Gutschrift nehmen wir zurück, was von der Rechnung {number} vom {date} übrig war."
        ),
        "credit_reason": "Grund",
        "credit_total": "Zurückgenommen",
        "credit_costs": "Kosten von Mahnungen",
        "credit_next": "Was bedeutet das für Sie?",
        "refund_ONLINE": (
            "Wir zahlen {amount} auf demselben Weg zurück, auf dem Sie online bezahlt haben. Sie "
            "brauchen nichts zu tun. Es kann einige Werktage dauern."
        ),
        "refund_TRANSFER": (
            "Wir überweisen {amount} auf das Konto zurück, von dem Sie bezahlt haben. Sie brauchen "
            "nichts zu tun, es sei denn, wir fragen nach Ihrer Kontonummer."
        ),
        "refund_COUNTER": "Sie erhalten {amount} am Schalter zurück, an dem Sie bezahlt haben.",
        "refund_MIXED": (
            "Wir zahlen {amount} auf dem Weg zurück, auf dem Sie bezahlt haben. Wir melden uns, "
            "wenn wir dafür etwas von Ihnen brauchen."
        ),
        "credit_settled": "Sie brauchen für diese Rechnung nichts mehr zu zahlen.",
        "credit_less": "Ziehen Sie {amount} von dem ab, was Sie für diese Rechnung noch zahlen müssen.",
        "credit_vat_back": (
            "Mehrwertsteuer, die an den Staat zurückzuzahlen ist, soweit sie ursprünglich abgezogen wurde."
        ),
        "reason_withdrawn": "Sie haben Ihren Antrag zurückgezogen.",
        "reason_cancelled": "Der Antrag wurde eingestellt.",
        "reason_inadmissible": "Der Antrag ist unzulässig.",
        "reason_rejected": "Der Antrag wurde abgelehnt.",
    },
}
