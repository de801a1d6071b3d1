"""Letters to citizens: the decision on an application, and any message for who reads on paper."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from stdnum import iban as ibans

from loket.notation import amount, phone
from loket.numbers import printed_reference
from loket.paper.decision import Result
from loket.paper.epc import epc_qr_svg
from loket.paper.sheet import Addressee, compiled, fit, grouped, sheet, spoken, written_day
from loket.paper.words import WORDS
from loket.settings import Municipality
from loket.wording import Wording

SIGNATORIES = 2
"""Of a decision of a municipal body: its chair (or who stands in) and the general director."""


@dataclass(frozen=True)
class Signatory:
    """Who signs, as what, and when it was signed; a plain letter has no day of signing."""

    name: str
    role: str
    signed_on: date | None = None


@dataclass(frozen=True)
class PaymentSlip:
    """What is to be paid, and the code for it. `amount` in EUR; `reference`: 12 bare digits."""

    amount: Decimal
    reference: str


@dataclass(frozen=True)
class LetterPaper:
    """A receipt, a reminder, any letter. `appeal` is how to object to it; empty where nobody can.

    A paragraph of which every line begins with `- ` is a list.
    """

    municipality: Municipality
    addressee: Addressee
    dated_on: date
    reference: str
    subject: str
    paragraphs: tuple[str, ...]
    appeal: str
    signatories: tuple[Signatory, ...]
    contact_name: str
    language: str
    payment: PaymentSlip | None = None


@dataclass(frozen=True)
class Appeal:
    """Where, how and until when somebody can object; `remark` for what else is open (a complaint).

    A notification that does not name all four does not make the term begin.
    """

    body: str
    form: str
    term: str
    address: str
    remark: str = ""


@dataclass(frozen=True)
class Contact:
    """Whom to ask. `phone` in E.164 or as it should be read."""

    name: str
    phone: str = ""
    email: str = ""


@dataclass(frozen=True)
class DecisionLetter:
    """The decision on one application, as the applicant gets it.

    `amount_eur` is what is granted, `asked_eur` what was asked for, if a sum was. `iban` is the whole account
    number; only its ends are printed. `payout_days` counts from the date of the letter.
    """

    municipality: Municipality
    addressee: Addressee
    dated_on: date
    reference: str
    title: str
    """What was applied for."""
    result: Result
    decided_by: str
    decided_on: date
    applied_on: date
    legal_grounds: tuple[str, ...]
    factual_grounds: tuple[str, ...]
    appeal: Appeal
    contact: Contact
    signatories: tuple[Signatory, ...]
    department: str
    language: str
    amount_eur: Decimal | None = None
    asked_eur: Decimal | None = None
    iban: str = ""
    payout_days: int | None = None
    conditions: tuple[str, ...] = ()


async def letter_pdf(paper: LetterPaper) -> bytes:
    """The letter, with how to appeal and who signed under it."""
    return await compiled("letter.typ", paper.dated_on, _letter(paper))


def plain_letter(
    wording: Wording,
    *,
    municipality: Municipality,
    addressee: Addressee,
    dated_on: date,
    reference: str,
    contact_name: str,
    payment: PaymentSlip | None = None,
) -> LetterPaper:
    """A message (`wording.render` for LETTER, with its salutation and closing) as a letter."""
    paragraphs = (one.strip("\n") for one in re.split(r"\n\s*\n", wording.text))
    return LetterPaper(
        municipality=municipality,
        addressee=addressee,
        dated_on=dated_on,
        reference=reference,
        subject=wording.subject,
        paragraphs=tuple(one for one in paragraphs if one.strip()),
        appeal="",
        signatories=(),
        contact_name=contact_name,
        language=wording.language,
        payment=payment,
    )


async def decision_letter_pdf(letter: DecisionLetter) -> bytes:
    """The decision with its motivation, what follows from it, how to object, and who signed.

    Raises:
        ValueError: the letter would not hold: a signature, a ground in law or fact, or a part of the appeal
            is missing, or the amount does not go with the result.
    """
    _check(letter)
    return await compiled("decision_letter.typ", letter.dated_on, _decision(letter))


def masked_iban(iban: str) -> str:
    """BE71 •••• •••• 6769: enough to know one's own account, too little for anybody else."""
    bare = "".join(iban.split()).upper()
    hidden = " ".join("•" * len(part) for part in re.findall(".{1,4}", bare[4:-4]))
    return " ".join((bare[:4], hidden, bare[-4:])).replace(" ", "\N{NO-BREAK SPACE}")


# --- what may leave the house ------------------------------------------------------------------


def _check(letter: DecisionLetter) -> None:
    appeal = letter.appeal
    said = {
        "a reference": (letter.reference,),
        "a title": (letter.title,),
        "who decided": (letter.decided_by,),
        "an addressee": (letter.addressee.name,),
        "grounds in law": letter.legal_grounds,
        "grounds in fact": letter.factual_grounds,
        "whom to ask": (letter.contact.name,),
        "the body to appeal to": (appeal.body,),
        "the form of an appeal": (appeal.form,),
        "the term of an appeal": (appeal.term,),
        "the address of an appeal": (appeal.address,),
    }
    missing = [name for name, texts in said.items() if not any(one.strip() for one in texts)]
    if missing:
        raise ValueError(f"a decision letter without {', '.join(missing)}")
    _check_signatures(letter)
    _check_amount(letter)


def _check_signatures(letter: DecisionLetter) -> None:
    signed = letter.signatories
    if len({one.name.strip() for one in signed} - {""}) != SIGNATORIES or len(signed) != SIGNATORIES:
        raise ValueError("a decision letter is signed by two people")
    for one in signed:
        if not one.role.strip() or one.signed_on is None:
            raise ValueError(f"{one.name} signs with a function and a day")
        if not letter.decided_on <= one.signed_on <= letter.dated_on:
            raise ValueError("a decision is signed after it is taken and before its letter leaves")


def _check_amount(letter: DecisionLetter) -> None:
    granted = letter.amount_eur
    if letter.result is Result.REFUSED:
        if granted is not None or letter.payout_days is not None:
            raise ValueError("what is refused is not paid")
    elif granted is not None and granted <= 0:
        raise ValueError("what is granted is more than nothing")
    if granted is None and letter.payout_days is not None:
        raise ValueError("a payout needs its amount")
    if letter.iban:
        ibans.validate(letter.iban, check_country=False)


# --- laid out ----------------------------------------------------------------------------------


def _letter(paper: LetterPaper) -> dict[str, object]:
    language = spoken(paper.language)
    words = WORDS[language]
    return {
        **sheet(paper.municipality, paper.addressee, paper.dated_on, paper.contact_name, language),
        "subject": fit(paper.subject),
        "facts": [
            (words["date"], written_day(paper.dated_on, language)),
            (words["reference"], fit(paper.reference)),
        ],
        "blocks": [_block(one) for one in paper.paragraphs],
        "payment": _slip(paper.payment, paper.municipality, language) if paper.payment else None,
        "appeal": fit(paper.appeal),
        "signatories": _signatures(paper.signatories, language),
    }


def _slip(slip: PaymentSlip, municipality: Municipality, language: str) -> dict[str, object]:
    words, total = WORDS[language], amount(slip.amount, language)
    reference, iban = printed_reference(slip.reference), grouped(municipality.iban)
    return {
        "facts": [
            (words["amount"], total),
            (words["account"], iban),
            (words["beneficiary"], fit(municipality.name)),
            (words["communication"], reference),
        ],
        "code": epc_qr_svg(
            name=municipality.name,
            iban=municipality.iban,
            bic=municipality.bic,
            amount=slip.amount,
            reference=slip.reference,
            line=municipality.reference_line,
        ),
        "code_says": words["code_says"].format(
            amount=total, name=municipality.name, iban=iban, reference=reference
        ),
    }


def _block(paragraph: str) -> dict[str, object]:
    lines = paragraph.splitlines()
    if lines and all(one.startswith("- ") for one in lines):
        return {"items": [fit(one.removeprefix("- ")) for one in lines]}
    return {"text": fit(paragraph)}


def _signatures(signatories: Sequence[Signatory], language: str) -> list[dict[str, str]]:
    signed_on = WORDS[language]["signed_on"]
    return [
        {
            "name": fit(one.name),
            "role": fit(one.role),
            "signed": signed_on.format(date=written_day(one.signed_on, language)) if one.signed_on else "",
        }
        for one in signatories
    ]


def _decision(letter: DecisionLetter) -> dict[str, object]:
    language = spoken(letter.language)
    words = WORDS[language]
    appeal = letter.appeal
    return {
        **sheet(letter.municipality, letter.addressee, letter.dated_on, letter.department, language),
        "subject": words["decision"].format(title=fit(letter.title)),
        "reference": fit(letter.reference),
        "facts": [
            (words["date"], written_day(letter.dated_on, language)),
            (words["reference"], fit(letter.reference)),
        ],
        "salutation": words["salutation"].format(name=fit(letter.addressee.name)),
        "result": words[letter.result.lower()],
        "outcome": _outcome(letter, language),
        "legal": _points(letter.legal_grounds),
        "factual": _points(letter.factual_grounds),
        "conditions": _points(letter.conditions),
        "payout": _payout(letter, language),
        "signatories": _signatures(letter.signatories, language),
        "appeal": _facts(
            (words["appeal_body"], appeal.body),
            (words["appeal_address"], appeal.address),
            (words["appeal_form"], appeal.form),
            (words["appeal_term"], appeal.term),
        ),
        "remark": fit(appeal.remark),
        "contact": _facts(
            (words["contact"], letter.contact.name),
            (words["phone"], phone(letter.contact.phone)),
            (words["email"], letter.contact.email),
        ),
        "mention": words["mention"].format(reference=fit(letter.reference)),
    }


def _outcome(letter: DecisionLetter, language: str) -> list[tuple[str, str]]:
    words = WORDS[language]
    granted, asked = letter.amount_eur, letter.asked_eur
    return _facts(
        (words["granted_amount"], amount(granted, language) if granted is not None else ""),
        (words["asked_amount"], amount(asked, language) if asked is not None else ""),
        (words["to_account"], masked_iban(letter.iban) if letter.iban and granted is not None else ""),
        (words["applied_on"], written_day(letter.applied_on, language)),
        (words["decided_by"], letter.decided_by),
        (words["decided_on"], written_day(letter.decided_on, language)),
    )


def _payout(letter: DecisionLetter, language: str) -> list[str]:
    words = WORDS[language]
    if letter.amount_eur is None or letter.payout_days is None:
        return []
    total = amount(letter.amount_eur, language)
    if not letter.iban:
        return [words["payout"].format(amount=total, days=letter.payout_days)]
    account = masked_iban(letter.iban)
    return [
        words["payout_account"].format(amount=total, days=letter.payout_days, account=account),
        words["wrong_account"],
    ]


def _points(texts: Iterable[str]) -> list[str]:
    return [fit(one) for one in texts if one.strip()]


def _facts(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    return [(label, fit(value)) for label, value in pairs if value.strip()]
