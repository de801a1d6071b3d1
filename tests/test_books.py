"""The journal balances whatever happens to money; a reconciliation finds and repairs what was left out."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from loket.ids import decode_id
from loket.terms import BRUSSELS
from town import FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened, until

TODAY = datetime.now(UTC).astimezone(BRUSSELS).date()


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


async def _reconciled(town: Town) -> Json:
    """A reconciliation of the last month, once it is done."""
    days = {"from": (TODAY - timedelta(days=30)).isoformat(), "to": TODAY.isoformat()}
    fields = "reconciliation { id }"
    payload = await town.does(FINANCE, "reconciliationRun", fields, **days)
    seen: Json = {}

    async def done() -> bool:
        document = """query($id: ID!) { node(id: $id) { ... on Reconciliation {
            endedAt compared openDifferences
            differences { id kind state expected found detail case { reference } } } } }"""
        answer = await town.ask(FINANCE, document, id=payload["reconciliation"]["id"])
        seen.update(answer["node"])
        return seen["endedAt"] is not None

    await until(done)
    return seen


async def _open(town: Town) -> list[tuple[str, str]]:
    found = await _reconciled(town)
    return [(one["kind"], one["case"]["reference"]) for one in found["differences"] if one["state"] == "OPEN"]


async def _ledger(town: Town) -> Json:
    document = """query($from: Date!, $to: Date!) { ledger(from: $from, to: $to) {
        debit { amount } credit { amount } balances { account budgetKey closing { amount } } } }"""
    days = {"from": "2026-01-01", "to": (TODAY + timedelta(days=1)).isoformat()}
    answer = await town.ask(FINANCE, document, **days)
    ledger: Json = answer["ledger"]
    return ledger


async def _bill(town: Town, number: int = 1) -> tuple[Dossier, str]:
    """A case with an invoice to pay."""
    dossier = await town.applies(cart={"bak": number})
    case = await dossier.until("AWAITING_PAYMENT")
    return dossier, case["invoice"]["id"]


async def _lines(dossier: Dossier) -> list[tuple[str, str, str, str]]:
    rows = await dossier.town.sql(
        "SELECT e.type, l.account, l.debit, l.credit"
        " FROM journalentry e JOIN journalline l ON l.entry_id = e.id"
        " WHERE e.case_id = :id ORDER BY e.id, l.position",
        id=decode_id(dossier.id, "Case"),
    )
    return [(row.type, row.account, str(row.debit), str(row.credit)) for row in rows]


# ── the journal ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_invoice_its_payment_and_what_goes_back_are_entries_that_balance(town: Town) -> None:
    dossier, _ = await _bill(town)
    owed = Decimal((await dossier.read())["invoice"]["outstanding"]["amount"])
    await dossier.transfers(str(owed + 5))
    await dossier.until("AWAITING_SLOT")
    await dossier.calm()
    lines = await _lines(dossier)
    assert {one[0] for one in lines} == {"INVOICE", "PAYMENT", "REFUND_DUE"}
    receivable = sum(Decimal(one[2]) - Decimal(one[3]) for one in lines if one[1] == "RECEIVABLE")
    assert receivable == 0
    assert sum(Decimal(one[3]) for one in lines if one[1] == "REFUNDABLE") == 5
    ledger = await _ledger(town)
    assert ledger["debit"] == ledger["credit"]


async def test_the_database_refuses_an_entry_that_does_not_balance(town: Town) -> None:
    dossier, _ = await _bill(town)
    with pytest.raises(IntegrityError, match="does not balance"):
        await town.sql(
            "WITH e AS (INSERT INTO journalentry (id, type, subject_id, number, case_id, journal,"
            " document_number, booked_on, amount, state, voucher, reason)"
            " VALUES (gen_random_uuid(), 'PAYMENT', gen_random_uuid(), 1, :id, 'VF', 'x', now(), 5, 'KNOWN',"
            " '', '')"
            " RETURNING id)"
            " INSERT INTO journalline (entry_id, position, booked_on, account, debit, credit, description)"
            " SELECT id, 1, now(), 'BANK', 5, 0, '' FROM e",
            id=decode_id(dossier.id, "Case"),
        )


@pytest.mark.parametrize("who", [None, "burger-1", HANDLER, "wim", "astrid", OPERATOR])
async def test_nobody_but_finance_reads_the_books(town: Town, who: str | None) -> None:
    document = """{ ledger(from: "2026-01-01", to: "2026-12-31") { debit { amount } }
        journalEntries { nodes { id } } differences { nodes { id } } reconciliations { nodes { id } } }"""
    seen = await town.ask(who, document)
    assert seen["ledger"] is None
    assert [seen[one]["nodes"] for one in ("journalEntries", "differences", "reconciliations")] == [
        [],
        [],
        [],
    ]


# ── the reconciliation ────────────────────────────────────────────────────────────────────────────────


async def test_books_that_agree_have_no_differences(town: Town) -> None:
    dossier, _ = await _bill(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.calm()
    found = await _reconciled(town)
    assert [one for one in found["differences"] if one["case"]["reference"] == dossier.reference] == []
    assert found["compared"]["asked_at_the_module"] >= 1
    assert found["compared"]["payments"][0] >= 1


async def test_an_entry_that_was_left_out_is_named_and_booked_by_the_repair(town: Town) -> None:
    dossier, _ = await _bill(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.calm()
    case_id = decode_id(dossier.id, "Case")
    await town.sql(
        "DELETE FROM journalline WHERE entry_id IN"
        " (SELECT id FROM journalentry WHERE case_id = :id AND type = 'PAYMENT')",
        id=case_id,
    )
    await town.sql("DELETE FROM journalentry WHERE case_id = :id AND type = 'PAYMENT'", id=case_id)
    found = await _reconciled(town)
    mine = [one for one in found["differences"] if one["case"]["reference"] == dossier.reference]
    assert {one["kind"] for one in mine} == {"ENTRY_MISSING", "INVOICE"}
    (missing,) = [one for one in mine if one["kind"] == "ENTRY_MISSING"]
    await town.does(FINANCE, "differenceRepair", "difference { state }", id=missing["id"])
    await dossier.calm()
    assert dossier.reference not in [reference for _, reference in await _open(town)]


async def test_a_payment_that_the_module_has_and_we_do_not_is_found_and_heard_by_the_repair(
    town: Town,
) -> None:
    dossier, _ = await _bill(town)
    async with town.hooks("worldline", "lose"):
        await dossier.pays()
    found = await _reconciled(town)
    (lost,) = [one for one in found["differences"] if one["case"]["reference"] == dossier.reference]
    assert (lost["kind"], lost["expected"]) == ("PROVIDER", None)
    await town.does(FINANCE, "differenceRepair", id=lost["id"])
    await dossier.until("AWAITING_SLOT")
    assert dossier.reference not in [reference for _, reference in await _open(town)]


async def test_an_entry_that_accounting_rejects_is_a_task_and_a_difference_until_it_is_told_again(
    town: Town,
) -> None:
    await town.fails("accounting", mode="refuse", status=422, count=1)
    dossier, _ = await _bill(town)
    await until(lambda: _has_task(dossier, "ENTRY_REJECTED"))
    found = await _reconciled(town)
    (refused,) = [one for one in found["differences"] if one["case"]["reference"] == dossier.reference]
    assert refused["kind"] == "ENTRY_NOT_TOLD"
    await town.does(FINANCE, "differenceRepair", id=refused["id"])
    await dossier.calm()
    assert dossier.reference not in [reference for _, reference in await _open(town)]


async def _has_task(dossier: Dossier, kind: str) -> bool:
    return kind in await dossier.tasks()


async def test_what_only_a_person_can_settle_asks_how(town: Town) -> None:
    dossier, _ = await _bill(town)
    invoice = decode_id((await dossier.read())["invoice"]["id"], "Invoice")
    await town.sql("UPDATE invoice SET credited = 1 WHERE id = :id", id=invoice)
    found = await _reconciled(town)
    (odd,) = [one for one in found["differences"] if one["case"]["reference"] == dossier.reference]
    assert odd["kind"] == "INVOICE"
    refusal = await town.refused(FINANCE, "differenceRepair", id=odd["id"])
    assert refusal["code"] == "REQUIRED"
    await town.does(FINANCE, "differenceRepair", id=odd["id"], input={"reason": "Zie de nota van 3 mei."})
    await town.sql("UPDATE invoice SET credited = 0 WHERE id = :id", id=invoice)


@pytest.mark.parametrize(
    ("starts_on", "ends_on"),
    [
        ("2026-05-02", "2026-05-01"),
        ("2020-01-01", "2026-01-01"),
        ("2026-01-01", "2100-01-01"),
        ("0001-01-01", "0001-02-01"),
    ],
)
async def test_a_period_that_is_none_is_refused(town: Town, starts_on: str, ends_on: str) -> None:
    refusal = await town.refused(FINANCE, "reconciliationRun", **{"from": starts_on, "to": ends_on})
    assert refusal["code"] == "VALIDATION"


# ── anything at all ───────────────────────────────────────────────────────────────────────────────────

SEQUENCES = int(os.environ.get("SEQUENCES", "5"))
"""Of up to forty actions each; `SEQUENCES=150 pytest tests/test_books.py -k sequence` does thousands."""
CENTS = st.integers(min_value=1, max_value=9_000).map(lambda cents: Decimal(cents).scaleb(-2))
ACTIONS = st.one_of(
    st.tuples(st.just("transfers"), CENTS),
    st.tuples(st.just("registers"), CENTS),
    st.tuples(st.just("pays cash"), CENTS),
    st.tuples(st.just("pays online"), st.none()),
    st.tuples(st.just("credits"), CENTS),
    st.tuples(st.just("credits all"), st.none()),
    st.tuples(st.just("writes off"), st.none()),
    st.tuples(st.just("hands over"), st.none()),
    st.tuples(st.just("pays back"), st.none()),
    st.tuples(st.just("withdraws"), st.none()),
)


async def _does(town: Town, dossier: Dossier, invoice: str, action: tuple[str, Decimal | None]) -> None:
    """Each may be refused: then it changes nothing."""
    what, amount = action
    match what:
        case "transfers":
            await dossier.transfers(str(amount))
        case "registers" | "pays cash":
            method = "TRANSFER" if what == "registers" else "COUNTER"
            told = {
                "amount": str(amount),
                "method": method,
                "reference": town.key(),
                "valueDate": TODAY.isoformat(),
            }
            await town.tries(FINANCE, "paymentRegister", invoiceId=invoice, input=told)
        case "pays online":
            payload = await town.tries(dossier.who, "paymentStart", "checkoutUrl", invoiceId=invoice)
            if payload["checkoutUrl"]:
                token = payload["checkoutUrl"].rpartition("/")[2]
                pages = await town.look("worldline", "checkouts", reference=dossier.reference)
                (page,) = [one for one in pages if one["token"] == token]
                module = town.served.house.config.urls["worldline"]
                answer = await town.client.post(f"{module}/sim/checkouts/{page['id']}/pay", json={})
                assert answer.status_code in (200, 409), answer.text  # 409: somebody paid there before
        case "credits" | "credits all":
            told = {"reason": "Rechtzetting."} | ({} if amount is None else {"amount": str(amount)})
            await town.tries(FINANCE, "invoiceCredit", id=invoice, input=told)
        case "writes off":
            await town.tries(FINANCE, "invoiceWriteOff", id=invoice, input={"reason": "Niet in te vorderen."})
        case "hands over":
            await town.tries(OPERATOR, "timerFire", caseId=dossier.id, kind="PAYMENT_END")
        case "pays back":
            seen = await dossier.read(fields="refunds { id status }")
            for refund in seen["refunds"]:
                await town.tries(FINANCE, "refundOrder", id=refund["id"])
        case "withdraws":
            await town.tries(dossier.who, "caseWithdraw", id=dossier.id, input={"reason": "Toch niet."})
        case _:
            raise AssertionError(what)


@given(actions=st.lists(ACTIONS, min_size=10, max_size=40))
@settings(
    max_examples=SEQUENCES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_sequence_of_money_unbalances_the_books(
    town: Town, actions: list[tuple[str, Decimal | None]]
) -> None:
    dossier, invoice = await _bill(town, 2)
    for action in actions:
        await _does(town, dossier, invoice, action)
    await asyncio.sleep(0.1)
    await dossier.calm()
    found = await _reconciled(town)
    mine = [one for one in found["differences"] if one["case"]["reference"] == dossier.reference]
    assert mine == []
    seen = (await dossier.read())["invoice"]
    amounts: dict[str, Any] = {
        name: Decimal(seen[name]["amount"]) for name in ("amount", "paid", "outstanding")
    }
    assert min(amounts.values()) >= 0
    ledger = await _ledger(town)
    assert ledger["debit"] == ledger["credit"]
