"""Taking an invoice back, whole or in part, at whatever moment, and what its journal says of it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from loket import cases, credits, dunning, invoices, payments
from loket.errors import Refused
from loket.ids import decode_id, encode_id
from loket.records import Case, Invoice, PaymentMethod
from loket.terms import BRUSSELS
from loket.work import Work, the_system
from town import FINANCE, HANDLER, Dossier, Json, Town, nothing_stays_open, opened, until

_numbers = itertools.count(1)
INVOICE = """invoice { id version status amount { amount } paid { amount } credited { amount }
    outstanding { amount } creditNotes { number reason amount { amount } } }"""
LEDGER = """SELECT coalesce(sum(l.debit - l.credit), 0) AS owed FROM journalline l
    JOIN journalentry e ON e.id = l.entry_id
    WHERE l.account = 'RECEIVABLE' AND e.invoice_id = :id"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


# ── in part ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_part_that_is_credited_is_not_asked_any_more_and_is_told_with_its_reason(town: Town) -> None:
    dossier = await town.applies()
    payload = await _credits(town, dossier, "10.00", "Deksel ontbreekt")
    assert (payload["creditNote"]["amount"]["amount"], payload["creditNote"]["number"][:4]) == (
        "10.00",
        "VFC-",
    )
    invoice = await _invoice(dossier)
    assert (invoice["status"], invoice["outstanding"]["amount"]) == ("ISSUED", "18.00")
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    (letter,) = [one for one in await dossier.letters() if "verminderd" in one["subject"]]
    for wanted in ("€ 10,00 minder te betalen", "Deksel ontbreekt", "nog € 18,00 te betalen"):
        assert wanted in _plain(letter)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    invoice = await _invoice(dossier)
    assert (invoice["status"], invoice["paid"]["amount"]) == ("PAID", "18.00")
    assert await dossier.entries() == [("INVOICE", "28.00"), ("CREDIT_NOTE", "10.00"), ("PAYMENT", "18.00")]


async def test_a_part_that_covers_the_rest_lets_the_case_go_on(town: Town) -> None:
    dossier = await town.applies()
    await _registers(town, dossier, "20.00")
    await _credits(town, dossier, "8.00", "Korting")
    case = await dossier.until("AWAITING_SLOT")
    assert case["invoice"]["status"] == "PAID"
    assert not {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} & await dossier.timers()
    assert ("Betaald", "Uitvoering") in await dossier.dosis()


async def test_what_was_paid_and_credited_goes_back_over_the_way_that_it_came(town: Town) -> None:
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await _credits(town, dossier, "10.00", "Kras in het deksel")
    await until(lambda: _refunds_are(dossier, "DONE"))
    invoice = await _invoice(dossier)
    assert (invoice["status"], invoice["paid"]["amount"], invoice["credited"]["amount"]) == (
        "PAID",
        "18.00",
        "10.00",
    )
    (letter,) = [one for one in await dossier.letters() if "verminderd" in one["subject"]]
    assert "U betaalde € 10,00 te veel" in _plain(letter)
    await _credits(town, dossier, "18.00", "Toch niet geleverd")
    await until(lambda: _refunds_are(dossier, "DONE", "DONE"))
    rows = await town.sql(
        "SELECT status, paid FROM invoice WHERE case_id = :id", id=decode_id(dossier.id, "Case")
    )
    assert [(one.status, one.paid) for one in rows] == [("CREDITED", 0)]
    assert await _owed(town, dossier) == 0


# ── whole ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_case_whose_whole_invoice_is_taken_back_waits_for_nothing(town: Town) -> None:
    dossier = await town.applies()
    await _registers(town, dossier, "5.00")
    payload = await _credits(town, dossier, None, "Geschenk van de gemeente")
    assert payload["creditNote"]["amount"]["amount"] == "28.00"
    case = await dossier.until("AWAITING_SLOT")
    assert [one["amount"]["amount"] for one in case["refunds"]] == ["5.00"]
    assert not {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} & await dossier.timers()
    assert "Betaald" not in [code for code, _ in await dossier.dosis()]
    (row,) = await town.sql("SELECT id FROM invoice WHERE case_id = :id", id=decode_id(dossier.id, "Case"))
    await _registers(town, dossier, "28.00", encode_id("Invoice", row.id))
    assert sorted(one["amount"]["amount"] for one in (await dossier.read())["refunds"]) == ["28.00", "5.00"]
    assert await _owed(town, dossier) == 0


async def test_a_withdrawal_is_told_once_its_credit_note_is_part_of_it(town: Town) -> None:
    dossier = await town.applies()
    await _credits(town, dossier, "10.00", "Deksel ontbreekt")
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await dossier.until("WITHDRAWN")
    assert len([one for one in await dossier.letters() if "verminderd" in one["subject"]]) == 1
    assert await dossier.entries() == [
        ("INVOICE", "28.00"),
        ("CREDIT_NOTE", "10.00"),
        ("CREDIT_NOTE", "18.00"),
    ]


async def test_what_was_paid_before_the_rest_was_given_up_goes_back_when_the_case_is_cancelled(
    town: Town,
) -> None:
    dossier = await town.applies()
    await _registers(town, dossier, "10.00")
    invoice = await _invoice(dossier)
    await town.does(FINANCE, "invoiceWriteOff", id=invoice["id"], input={"reason": "Kwijtschelding"})
    await dossier.until("AWAITING_SLOT")
    await town.does(HANDLER, "caseCancel", id=dossier.id, input={"reason": "Geen voorraad meer."})
    case = await dossier.until("CANCELLED")
    assert [one["amount"]["amount"] for one in case["refunds"]] == ["10.00"]
    assert await _owed(town, dossier) == 0


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────


async def test_more_than_there_is_a_part_of_a_cent_an_old_version_and_nothing_are_refused(town: Town) -> None:
    dossier = await town.applies()
    invoice = await _invoice(dossier)
    for amount in ("28.01", "0.00", "-1.00", "1.005"):
        refusal = await town.refused(FINANCE, "invoiceCredit", id=invoice["id"], input=_wish(amount))
        assert (refusal["code"], refusal["path"]) == ("VALIDATION", ["input", "amount"]), amount
    stale = {"id": invoice["id"], "input": _wish("1.00"), "expectedVersion": invoice["version"] - 1}
    assert (await town.refused(FINANCE, "invoiceCredit", **stale))["code"] == "VERSION_CONFLICT"
    assert "INVOICE_CREDIT" in await dossier.actions(FINANCE)
    assert "INVOICE_CREDIT" not in await dossier.actions(HANDLER)
    await _credits(town, dossier, None, "Fout")
    refusal = await town.refused(FINANCE, "invoiceCredit", id=invoice["id"], input=_wish(None))
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"


async def test_the_same_wish_twice_is_one_credit_note(town: Town) -> None:
    dossier = await town.applies()
    key = town.key()
    notes = {
        (await _credits(town, dossier, "3.00", "Korting", key=key))["creditNote"]["number"] for _ in range(3)
    }
    assert len(notes) == 1
    assert (await _invoice(dossier))["credited"]["amount"] == "3.00"


# ── at one moment ─────────────────────────────────────────────────────────────────────────────────────


async def test_ten_who_credit_and_ten_who_pay_at_once_leave_the_invoice_and_its_journal_equal(
    town: Town,
) -> None:
    dossier = await town.applies()
    invoice = await _invoice(dossier)
    credit = [town.tries(FINANCE, "invoiceCredit", id=invoice["id"], input=_wish("4.00")) for _ in range(10)]
    pay = [_registers(town, dossier, "4.00", invoice["id"]) for _ in range(10)]
    answers = await asyncio.gather(*(one for pair in zip(credit, pay, strict=True) for one in pair))
    refused = [one["errors"][0]["code"] for one in answers if one and one["errors"]]
    assert set(refused) <= {"VALIDATION", "TRANSITION_NOT_ALLOWED"}
    (row,) = await town.sql(
        "SELECT credited, paid, amount - credited - paid AS open,"
        " (SELECT sum(amount) FROM refund WHERE refund.case_id = invoice.case_id) AS back"
        " FROM invoice WHERE case_id = :id",
        id=decode_id(dossier.id, "Case"),
    )
    assert row.open == 0
    assert row.credited == 4 * (10 - len(refused))
    assert row.paid + row.back == 40
    assert await _owed(town, dossier) == 0


# ── any order of anything ─────────────────────────────────────────────────────────────────────────────

DOES = st.tuples(
    st.sampled_from(("pay", "credit", "credit all", "cost", "write off")),
    st.decimals(Decimal("0.01"), Decimal("35.00"), places=2),
)


class _UndoneError(Exception):
    """Leaves a work without keeping it."""


async def test_whatever_is_done_to_an_invoice_its_journal_says_what_is_open(town: Town) -> None:
    """Hypothesis makes the sequences; each is done to the same new invoice, and undone."""
    sequences: list[list[tuple[str, Decimal]]] = []

    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(DOES, min_size=2, max_size=8))
    def gather(sequence: list[tuple[str, Decimal]]) -> None:
        sequences.append(sequence)

    gather()
    dossier = await town.applies()
    await dossier.calm()
    done: set[str] = set()
    for sequence in sequences:
        with contextlib.suppress(_UndoneError):
            async with town.served.loket.work(the_system()) as work:
                await _holds(work, decode_id(dossier.id, "Case"), sequence, done)
                raise _UndoneError
    assert done == {"pay", "credit", "credit all", "cost", "write off"}


async def _holds(work: Work, case_id: UUID, sequence: Sequence[tuple[str, Decimal]], done: set[str]) -> None:
    case = await cases.get(work, case_id)
    invoice = await invoices.live(work, case)
    assert invoice is not None
    for step, amount in sequence:
        with contextlib.suppress(Refused):
            async with work.session.begin_nested():
                await _do(work, case, invoice, step, amount)
            done.add(step)
        await work.session.refresh(invoice)
        owed = (await work.session.execute(text(LEDGER), {"id": invoice.id})).scalar_one()
        assert invoices.outstanding(invoice) >= 0, (sequence, step)
        assert owed == invoices.outstanding(invoice), (sequence, step)


async def _do(work: Work, case: Case, invoice: Invoice, step: str, amount: Decimal) -> None:
    match step:
        case "pay":
            name = f"reeks {next(_numbers)}"
            told = payments.Received("transfer", name, amount, PaymentMethod.TRANSFER, work.today)
            await payments.register(work, invoice, told)
        case "credit":
            await credits.credit(work, case, invoice, amount, "proef")
        case "credit all":
            await credits.credit(work, case, invoice, credits.creditable(invoice), "proef")
        case "cost":
            await dunning.remind(work, case, 2)
        case "write off":
            await dunning.write_off(work, case, invoice, "proef")
        case _:
            raise AssertionError(step)


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)


# ── looking and doing ─────────────────────────────────────────────────────────────────────────────────


def _wish(amount: str | None, reason: str = "Proef") -> Json:
    return {"reason": reason} | ({"amount": amount} if amount else {})


async def _credits(town: Town, dossier: Dossier, amount: str | None, reason: str, *, key: str = "") -> Json:
    invoice = await _invoice(dossier)
    return await town.does(
        FINANCE, "invoiceCredit", "creditNote { number amount { amount } }",
        id=invoice["id"], input=_wish(amount, reason), idempotencyKey=key or town.key(),
    )  # fmt: skip


async def _invoice(dossier: Dossier) -> Json:
    invoice: Json = (await dossier.read(FINANCE, INVOICE))["invoice"]
    return invoice


async def _registers(town: Town, dossier: Dossier, amount: str, invoice_id: str = "") -> None:
    given = {"amount": amount, "method": "TRANSFER", "reference": f"afschrift {next(_numbers)}",
             "valueDate": datetime.now(BRUSSELS).date().isoformat()}  # fmt: skip
    invoice_id = invoice_id or (await _invoice(dossier))["id"]
    await town.does(FINANCE, "paymentRegister", invoiceId=invoice_id, input=given)


async def _owed(town: Town, dossier: Dossier) -> Decimal:
    """What the journal says is open on the invoice of a case."""
    (row,) = await town.sql("SELECT id FROM invoice WHERE case_id = :id", id=decode_id(dossier.id, "Case"))
    (found,) = await town.sql(LEDGER, id=row.id)
    owed: Decimal = found.owed
    return owed


async def _refunds_are(dossier: Dossier, *statuses: str) -> bool:
    case = await dossier.read(fields="refunds { status }")
    return sorted(one["status"] for one in case["refunds"]) == sorted(statuses)


def _plain(letter: Json) -> str:
    return " ".join(letter["text"].replace("\u00a0", " ").split())
