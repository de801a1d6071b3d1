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
from loket.paper.invoice import InvoiceLine, InvoicePaper, invoice_pdf
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

__all__ = [
    "Addressee",
    "AdviceSummary",
    "AnnexCase",
    "Appeal",
    "Contact",
    "DecisionDraft",
    "DecisionLetter",
    "InvoiceLine",
    "InvoicePaper",
    "LetterPaper",
    "PaymentSlip",
    "NamesSomebody",
    "PrintLetter",
    "ProofOfPosting",
    "ProofRefused",
    "Result",
    "Service",
    "Signatory",
    "annex_pdf",
    "batch",
    "decision_html",
    "decision_letter_pdf",
    "draft_pdf",
    "epc_qr_payload",
    "epc_qr_png",
    "epc_qr_svg",
    "invoice_pdf",
    "letter_pdf",
    "masked_iban",
    "page_count",
    "plain_letter",
    "proof",
]
