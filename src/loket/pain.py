"""Payment files between us and the bank: pain.001 asks for transfers, pain.002 says what became of them.

ISO 20022 with the rules of the SEPA credit transfer (EPC115-06) and of Febelfin. The same batch makes the
same file, byte for byte: what is sent again after silence is provably the same order.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from lxml import etree

from loket.sepa import (
    NAME_CHARACTERS,
    REMITTANCE_CHARACTERS,
    NoTransfers,
    WrongId,
    WrongText,
    check_amount,
    check_bic,
    check_iban,
    check_id,
    check_name,
    in_sepa_characters,
    structured_issuer,
)

Element: TypeAlias = etree._Element  # noqa: SLF001  # the stubs' only name for it

REPORT_BYTES = 1024 * 1024
"""A longer pain.002 is not read."""


class Version(StrEnum):
    """What the bank takes; also the message's namespace."""

    V09 = "pain.001.001.09"
    V03 = "pain.001.001.03"


class UnreadableReport(ValueError):
    """Not a pain.002 that we can or dare read."""


# --- transfers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """One payment to one account. Wrong values raise `Unpayable` when it is made.

    `amount` is in EUR. `structured` is a Belgian reference (12 digits) or one of ISO 11649 (RF…); with it
    there is no `remittance`. `purpose` is an ISO external purpose code: SSBE is a social benefit.
    """

    end_to_end_id: str
    amount: Decimal
    creditor_name: str
    creditor_iban: str
    remittance: str = ""
    structured: str | None = None
    purpose: str | None = None

    def __post_init__(self) -> None:
        check_id("EndToEndId", self.end_to_end_id)
        check_amount(self.amount)
        check_name(self.creditor_name)
        check_iban(self.creditor_iban)
        if self.structured is not None and self.remittance:
            raise WrongText("a transfer has a remittance or a structured reference, not both")
        if self.structured is not None and structured_issuer(self.structured) is None:
            raise WrongText("the structured reference does not check")
        if self.purpose is not None and re.fullmatch("[A-Z]{4}", self.purpose) is None:
            raise WrongText("a purpose is a code of four capitals")


@dataclass(frozen=True)
class TransferBatch:
    """Transfers from one account on one day. Wrong values raise `Unpayable` when it is made.

    `created_at` is written in whole seconds. `enterprise_number` is the initiator's (KBO, ten digits).
    """

    message_id: str
    payment_id: str
    created_at: datetime
    execute_on: date
    initiator_name: str
    enterprise_number: str
    debtor_name: str
    debtor_iban: str
    transfers: tuple[Transfer, ...]
    debtor_bic: str | None = None

    def __post_init__(self) -> None:
        check_id("MsgId", self.message_id)
        check_id("PmtInfId", self.payment_id)
        if self.created_at.tzinfo is None:
            raise WrongText("created_at has no time zone")
        if re.fullmatch("[01][0-9]{9}", self.enterprise_number) is None:
            raise WrongText("an enterprise number has ten digits")
        for name in (self.initiator_name, self.debtor_name):
            check_name(name)
        check_iban(self.debtor_iban)
        if self.debtor_bic is not None:
            check_bic(self.debtor_bic)
        if not self.transfers:
            raise NoTransfers("a batch of no transfers")
        ids = [transfer.end_to_end_id for transfer in self.transfers]
        if len(set(ids)) != len(ids):
            raise WrongId("an EndToEndId is used twice")


def end_to_end_id(id: UUID) -> str:
    """A payout's id as it travels through the banks: 32 hexadecimal digits."""
    return id.hex


def payout_id(end_to_end: str) -> UUID | None:
    """Whose payout it is; None when it is not one of ours."""
    return UUID(end_to_end) if re.fullmatch("[0-9a-fA-F]{32}", end_to_end) else None


# --- pain.001 ---------------------------------------------------------------------------------


def write(batch: TransferBatch, version: Version = Version.V09) -> bytes:
    """The file that asks for these transfers; the same bytes for the same batch."""
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{version}"
    document: Element = etree.fromstring(f'<Document xmlns="{namespace}"/>')
    message = _under(document, "CstmrCdtTrfInitn")
    total = sum((transfer.amount for transfer in batch.transfers), Decimal())
    header = _under(message, "GrpHdr")
    _under(header, "MsgId", batch.message_id)
    _under(header, "CreDtTm", f"{batch.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    _under(header, "NbOfTxs", str(len(batch.transfers)))
    _under(header, "CtrlSum", f"{total:.2f}")
    _write_initiator(_under(header, "InitgPty"), batch)
    payment = _under(message, "PmtInf")
    _under(payment, "PmtInfId", batch.payment_id)
    _under(payment, "PmtMtd", "TRF")
    # Each on a line of its own in the statement, where its EndToEndId can be found again.
    _under(payment, "BtchBookg", "false")
    _under(payment, "NbOfTxs", str(len(batch.transfers)))
    _under(payment, "CtrlSum", f"{total:.2f}")
    _under(_under(_under(payment, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    on = _under(payment, "ReqdExctnDt")
    (on if version is Version.V03 else _under(on, "Dt")).text = batch.execute_on.isoformat()
    _under(_under(payment, "Dbtr"), "Nm", in_sepa_characters(batch.debtor_name, NAME_CHARACTERS))
    _write_account(_under(payment, "DbtrAcct"), batch.debtor_iban)
    _write_bank(_under(_under(payment, "DbtrAgt"), "FinInstnId"), batch.debtor_bic, version)
    _under(payment, "ChrgBr", "SLEV")
    for transfer in batch.transfers:
        _write_transfer(_under(payment, "CdtTrfTxInf"), transfer)
    return etree.tostring(document, xml_declaration=True, encoding="UTF-8")


def _write_initiator(party: Element, batch: TransferBatch) -> None:
    _under(party, "Nm", in_sepa_characters(batch.initiator_name, NAME_CHARACTERS))
    other = _under(_under(_under(party, "Id"), "OrgId"), "Othr")
    _under(other, "Id", batch.enterprise_number)
    _under(other, "Issr", "KBO-BCE")


def _write_bank(institution: Element, bic: str | None, version: Version) -> None:
    if bic is None:
        _under(_under(institution, "Othr"), "Id", "NOTPROVIDED")
    else:
        _under(institution, "BICFI" if version is Version.V09 else "BIC", bic)


def _write_account(account: Element, iban: str) -> None:
    _under(_under(account, "Id"), "IBAN", check_iban(iban))


def _write_transfer(parent: Element, transfer: Transfer) -> None:
    _under(_under(parent, "PmtId"), "EndToEndId", transfer.end_to_end_id)
    amount = _under(_under(parent, "Amt"), "InstdAmt", str(check_amount(transfer.amount)))
    amount.set("Ccy", "EUR")
    _under(_under(parent, "Cdtr"), "Nm", in_sepa_characters(transfer.creditor_name, NAME_CHARACTERS))
    _write_account(_under(parent, "CdtrAcct"), transfer.creditor_iban)
    if transfer.purpose is not None:
        _under(_under(parent, "Purp"), "Cd", transfer.purpose)
    remittance = in_sepa_characters(transfer.remittance, REMITTANCE_CHARACTERS)
    if transfer.structured is not None:
        reference = _under(_under(_under(parent, "RmtInf"), "Strd"), "CdtrRefInf")
        kind = _under(reference, "Tp")
        _under(_under(kind, "CdOrPrtry"), "Cd", "SCOR")
        _under(kind, "Issr", structured_issuer(transfer.structured) or "")
        _under(reference, "Ref", transfer.structured)
    elif remittance:
        _under(_under(parent, "RmtInf"), "Ustrd", remittance)


def _under(parent: Element, name: str, text: str = "") -> Element:
    child = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    if text:
        child.text = text
    return child


# --- pain.002 ---------------------------------------------------------------------------------


class Status(StrEnum):
    """How far the bank is, by ISO's external status codes. Only settled is paid."""

    RCVD = "RCVD"
    """Received."""
    ACTC = "ACTC"
    """Its form is right."""
    ACCP = "ACCP"
    """The customer is right too."""
    ACWC = "ACWC"
    """Accepted with a change, such as another day."""
    ACSP = "ACSP"
    """Settlement has begun."""
    ACSC = "ACSC"
    """Settled: the money left the municipality's account."""
    ACCC = "ACCC"
    """Settled on the creditor's account as well."""
    PDNG = "PDNG"
    """Waits for a check or a signature."""
    PART = "PART"
    """Of a group: some accepted, some not."""
    RJCT = "RJCT"
    UNKNOWN = "UNKNOWN"
    """A code that we do not know, or none: never guessed at."""


SETTLED = frozenset({Status.ACSC, Status.ACCC})


@dataclass(frozen=True)
class TransactionStatus:
    """`raw_status` is the bank's own code. `amount` and `settled_on` only when it tells them."""

    end_to_end_id: str
    status: Status
    raw_status: str
    reason_codes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    amount: Decimal | None = None
    settled_on: date | None = None


@dataclass(frozen=True)
class StatusReport:
    """What a bank says of one file of ours. A bank may leave out transactions that share their file's fate:

    `unlisted` is what it says of those; of several payments in one file it only counts when they agree.
    """

    original_message_id: str
    group_status: Status
    raw_group_status: str
    transactions: tuple[TransactionStatus, ...]
    unlisted: TransactionStatus
    reported_on: date | None = None


def read_status(xml: bytes) -> StatusReport:
    """A pain.002, in version .03 or .10.

    Raises:
        UnreadableReport: longer than `REPORT_BYTES`, not well formed, with a DOCTYPE, or not a pain.002.
    """
    report = _root(xml).find("{*}CstmrPmtStsRpt")
    if report is None:
        raise UnreadableReport("no customer payment status report in it")
    group = report.find("{*}OrgnlGrpInfAndSts")
    message_id = _text(group, "OrgnlMsgId")
    if group is None or not message_id:
        raise UnreadableReport("it does not say which message it is about")
    transactions, unlisted = [], []
    for payment in report.iterfind("{*}OrgnlPmtInfAndSts"):
        shared = payment if _raw_status(payment) else group
        listed = payment.findall("{*}TxInfAndSts")
        transactions += [_transaction(one, one if _raw_status(one) else shared) for one in listed]
        unlisted += [] if listed else [_transaction(payment, shared)]
    return StatusReport(
        original_message_id=message_id,
        group_status=_status(_raw_status(group)),
        raw_group_status=_raw_status(group),
        transactions=tuple(transactions),
        unlisted=_agreed(unlisted) or _transaction(group, group),
        reported_on=_day(_text(report, "GrpHdr", "CreDtTm")),
    )


def _root(xml: bytes) -> Element:
    """The document, read without entities, DTD or network. ISO 20022 is UTF-8: nothing else is tried."""
    if len(xml) > REPORT_BYTES:
        raise UnreadableReport(f"longer than {REPORT_BYTES} bytes")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        if "<!DOCTYPE" in xml.decode("utf-8"):
            raise UnreadableReport("it brings a DOCTYPE")
        root: Element = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, UnicodeDecodeError):
        raise UnreadableReport("not well-formed XML in UTF-8") from None
    name = etree.QName(root)
    if name.localname != "Document" or not re.fullmatch(r"\S+:pain\.002\.001\.\d\d", name.namespace or ""):
        raise UnreadableReport("not a pain.002")
    return root


def _transaction(one: Element, said: Element) -> TransactionStatus:
    raw = _raw_status(said)
    amount = one.find("{*}OrgnlTxRef/{*}Amt/{*}InstdAmt")
    euro = amount is not None and amount.get("Ccy") == "EUR"
    settled = _text(one, "FctvIntrBkSttlmDt", "Dt") or _text(one, "AccptncDtTm")
    return TransactionStatus(
        end_to_end_id=_text(one, "OrgnlEndToEndId"),
        status=_status(raw),
        raw_status=raw,
        reason_codes=_reason_codes(one) or _reason_codes(said),
        details=_texts(one, "StsRsnInf", "AddtlInf") or _texts(said, "StsRsnInf", "AddtlInf"),
        amount=_amount(amount.text) if amount is not None and euro else None,
        settled_on=_day(settled),
    )


def _agreed(unlisted: list[TransactionStatus]) -> TransactionStatus | None:
    return unlisted[0] if len({one.raw_status for one in unlisted}) == 1 else None


def _status(raw: str) -> Status:
    return Status(raw) if raw in Status.__members__ else Status.UNKNOWN


def _raw_status(level: Element) -> str:
    return next((text for name in ("TxSts", "PmtInfSts", "GrpSts") if (text := _text(level, name))), "")


def _reason_codes(level: Element) -> tuple[str, ...]:
    return _texts(level, "StsRsnInf", "Rsn", "*")


def _texts(parent: Element, *path: str) -> tuple[str, ...]:
    found = (one.text or "" for one in parent.iterfind("/".join(f"{{*}}{name}" for name in path)))
    return tuple(text.strip() for text in found if text.strip())


def _text(parent: Element | None, *path: str) -> str:
    return "" if parent is None else next(iter(_texts(parent, *path)), "")


def _amount(text: str | None) -> Decimal | None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", text or ""):
        return None
    return Decimal(text or "").quantize(Decimal("0.01"))


def _day(text: str) -> date | None:
    """The day that the bank wrote, in its own time zone."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
