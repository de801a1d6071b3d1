"""Which invoices a movement on the account may pay: looked up when they are asked for, strongest first.

The digits of a mistyped communication lead to the invoices whose own differs in one digit or in two
neighbours that were swapped; account, amount and name lead to those that are not paid yet.
"""

from decimal import Decimal

import strawberry

from loket import lifecycle
from loket.api.enums.bank import SuggestionReason
from loket.api.mapping import base64url
from loket.api.naming import described, output

MOST = 5
WEIGHTS = {
    SuggestionReason.REFERENCE: 8,
    SuggestionReason.ALMOST_REFERENCE: 5,
    SuggestionReason.ACCOUNT: 3,
    SuggestionReason.AMOUNT: 2,
    SuggestionReason.NAME: 2,
}
"""How much a reason says; those of one invoice are added up."""


@output
class BankEntrySuggestion:
    """An invoice that a movement may pay."""

    invoice_id: strawberry.ID = described("The invoice, for `paymentMatch`.")
    invoice_number: str = described("Its number.")
    case_reference: str = described("Of which case.")
    debtor: str = described("Who owes it.")
    outstanding: Decimal = described("What is open on it, in EUR; 0 when it is paid or taken back.")
    reasons: list[SuggestionReason] = described("What speaks for it, the strongest first.")
    strength: int = described("How much that is together: two that are equal need a careful look.")


_OUTSTANDING = "(i.amount + i.costs - i.credited - i.paid - i.written_off)"
_PAYABLE = ", ".join(
    f"'{one}'"
    for one in lifecycle.InvoiceStatus
    if lifecycle.INVOICE.find(one, lifecycle.PartAction.PAY_FULL) and one is not one.WRITTEN_OFF
)
_ACCENTS = "àáâãäåçèéêëìíîïñòóôõöùúûüýÿ", "aaaaaaceeeeiiiinooooouuuuyy"


def _bare(text: str) -> str:
    return f"translate(lower({text}), '{_ACCENTS[0]}', '{_ACCENTS[1]}')"


_DIGITS = """
    SELECT regexp_replace(m[1], '[^0-9]', '', 'g') AS digits
      FROM regexp_matches({t}.reference || ' ' || {t}.remittance,
           '(?<![0-9])([0-9]{{3}}[^0-9A-Za-z]{{0,3}}[0-9]{{4}}[^0-9A-Za-z]{{0,3}}[0-9]{{5}})(?![0-9])',
           'g') AS m"""
_ALMOST = """
    SELECT digits, overlay(digits PLACING x::text FROM p FOR 1) AS meant
      FROM d, generate_series(1, 12) AS p, generate_series(0, 9) AS x
    UNION
    SELECT digits, overlay(digits PLACING substr(digits, p + 1, 1) || substr(digits, p, 1) FROM p FOR 2)
      FROM d, generate_series(1, 11) AS p"""
_FOUND = f"""
    SELECT i.id, CASE WHEN a.meant = a.digits THEN 'REFERENCE' ELSE 'ALMOST_REFERENCE' END AS reason
      FROM ({_ALMOST}) AS a JOIN invoice i ON i.reference = a.meant
    UNION
    SELECT i.id, 'ACCOUNT'
      FROM bankentry b JOIN payment p ON p.id = b.payment_id JOIN invoice o ON o.id = p.invoice_id
      JOIN invoice i ON i.person_id = o.person_id
     WHERE b.counterparty_iban_index = {{t}}.counterparty_iban_index AND i.status IN ({_PAYABLE})
    UNION
    SELECT i.id, 'AMOUNT' FROM invoice i WHERE i.status IN ({_PAYABLE}) AND {_OUTSTANDING} = {{t}}.amount
    UNION
    SELECT i.id, 'NAME'
      FROM invoice i JOIN person n ON n.id = i.person_id
     WHERE i.status IN ({_PAYABLE}) AND length(n.family_name) > 1 AND {{t}}.counterparty_name <> ''
       AND position({_bare("n.family_name")} IN {_bare("{t}.counterparty_name")}) > 0
       AND position({_bare("n.given_name")} IN {_bare("{t}.counterparty_name")}) > 0"""  # noqa: S608  # our own words
_WEIGHT = (
    "CASE f.reason " + " ".join(f"WHEN '{one}' THEN {weight}" for one, weight in WEIGHTS.items()) + " END"
)
ARRAY = f"""CASE WHEN {{t}}.amount > 0 AND {{t}}.status <> 'MATCHED' THEN (
    WITH d AS ({_DIGITS})
    SELECT jsonb_agg(to_jsonb(s) ORDER BY s.strength DESC, s.number) FROM (
        SELECT {base64url("convert_to('Invoice:', 'UTF8') || uuid_send(i.id)")} AS id, i.number, c.reference,
               trim(n.given_name || ' ' || n.family_name) AS debtor,
               CASE WHEN i.status IN ({_PAYABLE}) THEN {_OUTSTANDING} ELSE 0.00 END AS outstanding,
               array_agg(f.reason ORDER BY {_WEIGHT} DESC, f.reason) AS reasons,
               sum({_WEIGHT}) AS strength
          FROM ({_FOUND}) AS f JOIN invoice i ON i.id = f.id
          JOIN "case" c ON c.id = i.case_id JOIN person n ON n.id = i.person_id
         GROUP BY i.id, c.id, n.id ORDER BY sum({_WEIGHT}) DESC, i.number LIMIT {MOST}) AS s) END"""  # noqa: S608  # our own words
"""The suggestions of a movement `{t}`, as `FIELDS` reads them."""
FIELDS = {
    "invoice_id": "{t} ->> 'id'",
    "invoice_number": "{t} ->> 'number'",
    "case_reference": "{t} ->> 'reference'",
    "debtor": "{t} ->> 'debtor'",
    "outstanding": "({t} ->> 'outstanding')::numeric",
    "reasons": "{t} -> 'reasons'",
    "strength": "({t} ->> 'strength')::int",
}
