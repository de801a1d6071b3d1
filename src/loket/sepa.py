"""What a SEPA transfer carries: amounts, account numbers, names, references; and why banks refuse one.

Sources: EPC115-06 (rulebook), EPC217-08 (characters), EPC409-09 (countries), ISO 20022
external code sets (reasons).
"""

import re
from decimal import Decimal

import stdnum.exceptions
import stdnum.iban
from anyascii import anyascii

from loket.numbers import valid_structured_reference

HIGHEST = Decimal("999999999.99")
"""EUR, the most that one SEPA transfer carries."""
NAME_CHARACTERS = 70
REMITTANCE_CHARACTERS = 140

# fmt: off
COUNTRIES = frozenset((
    "AD", "AL", "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GI", "GR",
    "HR", "HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MC", "MD", "ME", "MK", "MT", "NL", "NO", "PL",
    "PT", "RO", "RS", "SE", "SI", "SK", "SM", "VA",
))
# fmt: on
"""Beginnings of an IBAN that a euro transfer can reach, in 2026."""


class Unpayable(ValueError):
    """No bank would take this; the message says which part, without names or account numbers."""


class NoTransfers(Unpayable):
    """A batch of nothing."""


class WrongAmount(Unpayable):
    """Nothing, less than nothing, parts of a cent, or more than one transfer carries."""


class WrongIban(Unpayable):
    """No account number, or one that a SEPA transfer does not reach."""


class WrongBic(Unpayable):
    """Not 8 or 11 characters as ISO 9362 has them."""


class WrongId(Unpayable):
    """Longer than 35 characters, outside the SEPA character set, or used twice in one batch."""


class WrongText(Unpayable):
    """A name of which nothing is left in the SEPA character set, or a reference that does not check."""


def check_amount(amount: Decimal) -> Decimal:
    """`amount` (EUR) with two decimals.

    Raises:
        WrongAmount: not from 0.01 to 999999999.99, or parts of a cent.
    """
    if not amount.is_finite() or not 0 < amount <= HIGHEST:
        raise WrongAmount(f"not an amount that can be transferred: at most {HIGHEST}")
    cents = amount.quantize(Decimal("0.01"))
    if cents != amount:
        raise WrongAmount("an amount has two decimals")
    return cents


def check_iban(text: str) -> str:
    """The electronic form: no spaces, capitals. By python-stdnum; the forms ask here too.

    Whether the bank exists is not asked: the lists of banks change more often than we are updated.

    Raises:
        WrongIban: the check digits are off (for Belgium also those of the account inside), or the country
            does not take part in SEPA.
    """
    if not text.isascii():
        raise WrongIban("not an IBAN")
    try:
        compact: str = stdnum.iban.validate(text, check_country=False)
    except stdnum.exceptions.ValidationError:
        raise WrongIban("not an IBAN, or its check digits are off") from None
    if compact.startswith("BE") and (int(compact[4:14]) % 97 or 97) != int(compact[14:16]):
        raise WrongIban("the check digits of the Belgian account are off")
    if compact[:2] not in COUNTRIES:
        raise WrongIban(f"{compact[:2]} does not take part in SEPA")
    return compact


def masked_iban(text: str) -> str:
    """BE68 **** **** 7034: enough to recognise one's own account by, in the printed groups of four."""
    compact = text.replace(" ", "").upper()
    shown = compact[:4] + "*" * (len(compact) - 8) + compact[-4:] if len(compact) > 8 else "*" * len(compact)
    return " ".join(shown[at : at + 4] for at in range(0, len(shown), 4))


def in_sepa_characters(text: str, most: int) -> str:
    """`text` in what every SEPA bank passes on: unaccented letters, digits and / - ? : ( ) . , ' +

    Other scripts are romanised, emoji and controls left out; at most `most` characters.
    """
    kept = "".join(one if one.isascii() else _romanised(one) for one in text)
    written = _OUTSIDE.sub("", kept.translate(_SIGNS))
    # A slash at either end, or two in a row, is a field mark to some banks.
    tidy = re.sub("/{2,}", "/", " ".join(written.split()))
    return tidy[:most].strip(" /")


_SIGNS = str.maketrans('!"#$%&*;<=>@[\\]^_`{|}~', ".....+.,....(/).-'(/)-")
"""EPC217-08: what stands for the ASCII signs outside the set."""
_OUTSIDE = re.compile(r"[^A-Za-z0-9/?:().,'+\s-]")
_ID = re.compile(r"(?!/)(?!.*//)[A-Za-z0-9/?:().,'+ -]{1,35}(?<!/)")
_BIC = re.compile("[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")
_RF = re.compile("RF[0-9]{2}[A-Z0-9]{1,21}")


def check_bic(bic: str) -> None:
    """Raises `WrongBic`."""
    if _BIC.fullmatch(bic) is None:
        raise WrongBic("a BIC has 8 or 11 characters")


def check_id(what: str, id: str) -> None:
    """Raises `WrongId`, which says `what`: MsgId, PmtInfId or EndToEndId."""
    if _ID.fullmatch(id) is None or id != id.strip():
        raise WrongId(f"{what}: 1 to 35 characters of the SEPA set, no slash at either end, no double one")


def check_name(name: str) -> None:
    """Raises `WrongText` when banks would get nothing of it."""
    if not any(one.isalnum() for one in in_sepa_characters(name, NAME_CHARACTERS)):
        raise WrongText("nothing of a name is left in the SEPA character set")


def structured_issuer(reference: str) -> str | None:
    """Who defined the reference: Belgium's banks (BBA) or ISO 11649. None when it does not check."""
    if valid_structured_reference(reference):
        return "BBA"
    if _RF.fullmatch(reference) is None:
        return None
    digits = "".join(str(int(one, 36)) for one in reference[4:] + reference[:4])
    return "ISO" if int(digits) % 97 == 1 else None


def _romanised(one: str) -> str:
    romanised = anyascii(one)
    # Emoji come out as :seedling:, which is nobody's name.
    return "" if romanised.startswith(":") and romanised.endswith(":") and len(romanised) > 1 else romanised


# --- reasons ----------------------------------------------------------------------------------


def reason(code: str, language: str) -> str:
    """What a bank's reason code means, in one sentence (`nl` or `en`); a code that is not listed is named."""
    sentences = REASONS.get(code.strip().upper())
    if sentences is None:
        unknown = {
            "nl": "De bank gaf als reden code {code}.",
            "en": "The bank gave code {code} as its reason.",
        }
        return unknown.get(language, unknown["nl"]).format(code=code)
    return sentences.get(language, sentences["nl"])


# fmt: off
REASONS: dict[str, dict[str, str]] = {
    code: {"nl": nl, "en": en} for code, nl, en in (
        ("AC01", "Het rekeningnummer bestaat niet.", "The account number does not exist."),
        ("AC03", "Het rekeningnummer van de begunstigde klopt niet.",
                 "The creditor's account number is wrong."),
        ("AC04", "De rekening is afgesloten.", "The account is closed."),
        ("AC06", "De rekening is geblokkeerd.", "The account is blocked."),
        ("AC13", "Op dit soort rekening kan niet overgeschreven worden.",
                 "This kind of account takes no transfers."),
        ("AG01", "Op deze rekening mag niet overgeschreven worden.",
                 "Transfers to this account are forbidden."),
        ("AG02", "De bank aanvaardt dit soort opdracht niet.", "The bank does not take this kind of order."),
        ("AM02", "Het bedrag is niet toegelaten.", "The amount is not allowed."),
        ("AM03", "De munt is niet toegelaten.", "The currency is not allowed."),
        ("AM04", "Er staat niet genoeg geld op de rekening van de gemeente.",
                 "The municipality's account holds too little money."),
        ("AM05", "De bank houdt dit voor een dubbele opdracht.",
                 "The bank takes this for a duplicate order."),
        ("AM09", "Het bedrag klopt niet.", "The amount is wrong."),
        ("AM14", "Het bedrag is hoger dan met de bank is afgesproken.",
                 "The amount is above the agreed limit."),
        ("BE01", "De naam hoort niet bij de rekening.", "The name does not belong to the account."),
        ("BE04", "Het adres van de begunstigde ontbreekt of is fout.",
                 "The creditor's address is missing or wrong."),
        ("BE06", "De bank kent de begunstigde niet.", "The bank does not know the creditor."),
        ("CNOR", "De bank van de begunstigde is niet bereikbaar in SEPA.",
                 "The creditor's bank is not reachable in SEPA."),
        ("CUST", "De opdracht werd ingetrokken op vraag van de klant.",
                 "The order was recalled by the customer."),
        ("DS02", "De opdracht werd ingetrokken door een gemachtigde.",
                 "An authorised user cancelled the order."),
        ("DT01", "De uitvoeringsdatum klopt niet.", "The execution date is wrong."),
        ("DUPL", "De bank houdt dit voor een dubbele betaling.",
                 "The bank takes this for a duplicate payment."),
        ("ED05", "De afwikkeling tussen de banken mislukte.", "Settlement between the banks failed."),
        ("FF01", "Het betaalbestand is niet leesbaar voor de bank.",
                 "The bank cannot read the payment file."),
        ("FOCR", "Het geld kwam terug na een vraag tot terugroeping.", "The money came back after a recall."),
        ("FR01", "De bank vermoedt fraude.", "The bank suspects fraud."),
        ("MD07", "De rekeninghouder is overleden.", "The account holder has died."),
        ("MS02", "De begunstigde weigerde het geld, zonder reden.",
                 "The creditor refused the money, without a reason."),
        ("MS03", "De bank gaf geen reden op.", "The bank gave no reason."),
        ("NARR", "De bank gaf haar reden in woorden.", "The bank gave its reason in words."),
        ("NOAS", "De begunstigde antwoordde niet.", "The creditor did not answer."),
        ("RC01", "De code van de bank (BIC) klopt niet.", "The bank's code (BIC) is wrong."),
        ("RF01", "De referentie werd al gebruikt.", "The reference was used before."),
        ("RR01", "De rekening van de opdrachtgever ontbreekt.", "The debtor's account is missing."),
        ("RR02", "Naam of adres van de opdrachtgever ontbreekt.", "The debtor's name or address is missing."),
        ("RR03", "Naam of adres van de begunstigde ontbreekt.", "The creditor's name or address is missing."),
        ("RR04", "De bank mag de betaling wettelijk niet uitvoeren.",
                 "By law the bank may not make the payment."),
        ("TECH", "De bank had een technische storing.", "The bank had a technical fault."),
        ("TM01", "De opdracht kwam te laat op de dag.", "The order came after the day's cut-off time."),
        ("UPAY", "De betaling was niet verschuldigd.", "The payment was not due."),
    )
}
# fmt: on
"""ISO external status and return reasons that a SEPA bank gives, for the people at the counter."""
