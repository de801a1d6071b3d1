"""The square code that a banking app reads: a SEPA transfer, filled in (EPC069-12, version 002)."""

import io
from decimal import Decimal

import segno
from stdnum import bic as bics
from stdnum import iban as ibans

from loket.notation import clean
from loket.numbers import printed_reference, valid_structured_reference
from loket.settings import ReferenceLine

MAX_NAME = 70
MAX_AMOUNT = Decimal("999999999.99")
"""EUR."""
MAX_BYTES = 331
"""Of the payload: what fits a code of version 13 at error correction M, the limits of EPC069-12."""
_UTF_8 = "1"


def epc_qr_payload(
    *,
    name: str,
    iban: str,
    bic: str,
    amount: Decimal,
    reference: str,
    line: ReferenceLine = ReferenceLine.STRUCTURED,
) -> str:
    """The text in the code. `amount` is EUR, `reference` 12 bare digits; an empty `bic` is left out.

    Every field is one line, so what could start another line never gets in.

    Raises:
        ValueError: the amount is not above 0 or not in whole cents; the account, the bank, the reference or
            the name cannot be right.
    """
    if not 0 < amount <= MAX_AMOUNT or amount != amount.quantize(Decimal("0.01")):
        raise ValueError(f"EUR {amount} cannot be transferred")
    if not valid_structured_reference(reference):
        raise ValueError(f"{reference!r} is not a structured reference of 12 digits")
    beneficiary = " ".join(clean(name).split())[:MAX_NAME].rstrip()
    if not beneficiary:
        raise ValueError("a transfer needs the name of its beneficiary")
    structured = line is ReferenceLine.STRUCTURED
    fields = [
        "BCD",
        "002",
        _UTF_8,
        "SCT",
        bics.validate(bic) if bic.strip() else "",
        beneficiary,
        ibans.validate(iban, check_country=False),
        f"EUR{amount:.2f}",
        "",
        reference if structured else "",
        "" if structured else printed_reference(reference),
    ]
    payload = "\n".join(fields).rstrip("\n")
    if len(payload.encode()) > MAX_BYTES:
        raise ValueError("too long for a payment code")
    return payload


def epc_qr_svg(
    *,
    name: str,
    iban: str,
    bic: str,
    amount: Decimal,
    reference: str,
    line: ReferenceLine = ReferenceLine.STRUCTURED,
) -> str:
    """The code as a drawing, quiet zone included. Raises as `epc_qr_payload` does."""
    payload = epc_qr_payload(name=name, iban=iban, bic=bic, amount=amount, reference=reference, line=line)
    return _code(payload).svg_inline(border=4, dark="#000000", light="#ffffff")


def epc_qr_png(
    *,
    name: str,
    iban: str,
    bic: str,
    amount: Decimal,
    reference: str,
    line: ReferenceLine = ReferenceLine.STRUCTURED,
) -> bytes:
    """The code as an image for an e-mail, quiet zone included. Raises as `epc_qr_payload` does."""
    payload = epc_qr_payload(name=name, iban=iban, bic=bic, amount=amount, reference=reference, line=line)
    image = io.BytesIO()
    _code(payload).save(image, kind="png", scale=8, border=4)
    return image.getvalue()


def _code(payload: str) -> segno.QRCode:
    return segno.make_qr(payload, error="m", boost_error=False, encoding="utf-8")
