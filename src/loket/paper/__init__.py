"""What the municipality puts on paper: invoices, letters, decisions, as PDF that is kept and read aloud.

Every PDF is PDF/A-3a (kept for decades) and PDF/UA-1 (read by a screen reader) at once, and the same
paper gives the same bytes on every run: its hash can stand for it. The templates only lay out; what
they print arrives as data and is never read as markup.
"""

from loket.paper.batch import (
    PrintLetter,
    ProofOfPosting,
    ProofRefused,
    Service,
    batch,
    page_count,
    proof,
)
from loket.paper.bill import BillExtras, BillLine, VatPart
from loket.paper.bill_words import BILL_WORDS
from loket.paper.credit_note import CreditNotePaper, Extent, GoesBack, credit_note_pdf
from loket.paper.decision import (
    AdviceSummary,
    AnnexCase,
    DecisionDraft,
    NamesSomebody,
    Result,
    annex_pdf,
    decision_html,
    draft_pdf,
)
from loket.paper.epc import epc_qr_payload, epc_qr_png, epc_qr_svg
from loket.paper.invoice import InvoicePaper, invoice_pdf
from loket.paper.letters import (
    Appeal,
    Contact,
    DecisionLetter,
    LetterPaper,
    PaymentSlip,
    Signatory,
    decision_letter_pdf,
    letter_pdf,
    masked_iban,
    plain_letter,
)
from loket.paper.sheet import Addressee
from loket.paper.ubl import Buyer, Claim, Correction, UblLine, credit_note_ubl, invoice_ubl

__all__ = [
    "BILL_WORDS",
    "Addressee",
    "AdviceSummary",
    "AnnexCase",
    "Appeal",
    "BillExtras",
    "BillLine",
    "Buyer",
    "Claim",
    "Contact",
    "Correction",
    "CreditNotePaper",
    "DecisionDraft",
    "DecisionLetter",
    "Extent",
    "GoesBack",
    "InvoicePaper",
    "LetterPaper",
    "NamesSomebody",
    "PaymentSlip",
    "PrintLetter",
    "ProofOfPosting",
    "ProofRefused",
    "Result",
    "Service",
    "Signatory",
    "UblLine",
    "VatPart",
    "annex_pdf",
    "batch",
    "credit_note_pdf",
    "credit_note_ubl",
    "decision_html",
    "decision_letter_pdf",
    "draft_pdf",
    "epc_qr_payload",
    "epc_qr_png",
    "epc_qr_svg",
    "invoice_pdf",
    "invoice_ubl",
    "letter_pdf",
    "masked_iban",
    "page_count",
    "plain_letter",
    "proof",
]
