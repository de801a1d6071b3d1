"""Where two ways of money meet: what one of them says must not be counted, paid or waited for twice."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from loket import comparing, comparing_money, payout_facts, reconciliation
from loket.ids import decode_id, encode_id
from loket.lifecycle import PartAction
from loket.payout_facts import Fact
from loket.settings import PaymentModule
from loket.terms import BRUSSELS
from loket.work import the_system
from modules import Side
from test_hooks import books
from town import FINANCE, REFUND_SECONDS, Dossier, Town, opened, until

SECOND = "farah"
TODAY = datetime.now(UTC).astimezone(BRUSSELS).date()
WORLDLINE = Side(PaymentModule.WORLDLINE)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


# ── what is due ───────────────────────────────────────────────────────────────────────────────────────


async def test_costs_that_alone_are_left_can_be_credited(town: Town) -> None:
    dossier, invoice = await _bill(town)
    for _ in range(2):
        await dossier.fires("PAYMENT_REMINDER")
    for amount, left in (("28.00", "5.00"), ("2.00", "3.00"), (None, "0.00")):
        told = {"reason": "Rechtzetting."} | ({"amount": amount} if amount else {})
        await town.does(FINANCE, "invoiceCredit", id=invoice, input=told)
        seen = await dossier.read(FINANCE, "invoice { outstanding { amount } }")
        assert seen["invoice"] is None or seen["invoice"]["outstanding"]["amount"] == left
    await dossier.until("AWAITING_SLOT")
    assert await _balances(dossier) == {}
    assert len([one for one in await dossier.entries() if one[0] == "CREDIT_NOTE"]) == 3
    assert await dossier.tasks() == []


async def test_what_was_written_off_is_not_to_be_paid_online(town: Town) -> None:
    dossier, invoice = await _bill(town)
    await town.does(FINANCE, "invoiceWriteOff", id=invoice, input={"reason": "Kwijtschelding."})
    refusal = await town.refused(dossier.who, "paymentStart", invoiceId=invoice)
    assert refusal["code"] == "NOTHING_DUE"


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_a_transfer_of_a_day_at_the_end_of_the_calendar_is_money_too(town: Town, day: str) -> None:
    dossier, invoice = await _bill(town)
    await _registers(town, invoice, "28.00", day)
    await dossier.until("AWAITING_SLOT")


async def test_a_dispute_that_is_won_after_the_rest_was_paid_lets_the_case_go_on(town: Town) -> None:
    dossier, invoice = await _bill(town)
    page = await dossier.goes_to_pay()
    await WORLDLINE.tell(town.served, WORLDLINE.paid(dossier.reference, page, cents=1000))
    taken, won = (
        WORLDLINE.charged_back(page, dossier.reference, cents=1000, won=won) for won in (False, True)
    )
    await WORLDLINE.tell(town.served, taken)
    await _registers(town, invoice, "18.00")
    assert (await dossier.read())["status"] == "AWAITING_PAYMENT"
    await WORLDLINE.tell(town.served, won)
    case = await dossier.until("AWAITING_SLOT")
    assert case["invoice"]["status"] == "PAID"
    assert not {"PAYMENT_REMINDER", "DEFAULT_NOTICE", "PAYMENT_END"} & await dossier.timers()


# ── what goes back ────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_paid_back_by_hand_does_not_leave_by_a_payout_as_well(town: Town) -> None:
    for is_approved in (False, True):
        await _pause(town, paused=True)
        dossier, refund, payout = await _surplus_ordered(town)
        if is_approved:
            await town.does(SECOND, "payoutApprove", id=payout)
        await _paid_by_hand(town, refund)
        await _pause(town, paused=False)
        await dossier.calm()
        seen = await dossier.read(FINANCE, "refunds { status } payouts { status }")
        assert (seen["refunds"], seen["payouts"]) == ([{"status": "DONE"}], [{"status": "CANCELLED"}])
        assert not {"APPROVE_PAYOUT", "REFUND_DUE"} & set(await dossier.tasks())


@pytest.mark.parametrize("facts", [("REJECT",), ("EXECUTE", "RETURN")], ids=" ".join)
async def test_a_payout_that_fails_leaves_what_was_paid_by_hand(town: Town, facts: tuple[str, ...]) -> None:
    """It had left for the bank when the refund was paid in another way."""
    await _pause(town, paused=True)
    dossier, refund, payout = await _surplus_ordered(town)
    await town.does(SECOND, "payoutApprove", id=payout)
    await _hears(town, payout, Fact(PartAction.SEND))
    await _paid_by_hand(town, refund)
    for action in facts:
        await _hears(town, payout, Fact(PartAction(action), on=TODAY, code="AC04"))
    await _pause(town, paused=False)
    await dossier.calm()
    seen = await dossier.read(FINANCE, "refunds { status }")
    assert seen["refunds"] == [{"status": "DONE"}]
    assert await _balances(dossier) == {"BANK": Decimal(28), "REVENUE": Decimal(-28)}
    assert await _differences(town, dossier) == []


async def test_what_was_paid_back_otherwise_is_not_ordered_at_the_module(town: Town) -> None:
    dossier, _ = await _bill(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await _pause(town, paused=True, system="payments")
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    (row,) = await town.sql("SELECT id FROM refund WHERE case_id = :id", id=_id(dossier))
    await _paid_by_hand(town, str(row.id))
    await _pause(town, paused=False, system="payments")
    await dossier.calm()
    mine = {
        one["id"] for one in await town.look("worldline", "payments") if one["reference"] == dossier.reference
    }
    assert [one for one in await town.look("worldline", "refunds") if one["paymentId"] in mine] == []


async def test_what_the_module_pays_back_after_somebody_did_by_hand_is_asked_back(town: Town) -> None:
    dossier, _ = await _bill(town)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    bank = town.served.house.config.urls["worldline"]
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": None})
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)

    async def asked() -> bool:
        return bool(await town.sql("SELECT FROM refund WHERE case_id = :id AND provider_refund_id <> ''",
                                   id=_id(dossier)))  # fmt: skip

    await until(asked)
    (row,) = await town.sql("SELECT id, provider_refund_id FROM refund WHERE case_id = :id", id=_id(dossier))
    await _paid_by_hand(town, str(row.id))
    await town.order("worldline", f"refunds/{row.provider_refund_id}/settle", outcome="refunded")

    async def heard() -> bool:
        return "RECOVERY" in await dossier.tasks()

    await until(heard)
    await town.client.put(f"{bank}/sim/settings", json={"refundSeconds": REFUND_SECONDS})
    assert await _balances(dossier) == {"RECEIVABLE": Decimal(28), "BANK": Decimal(-28)}
    assert await _differences(town, dossier) == []


async def test_money_that_a_person_must_look_at_is_not_settled_by_the_end_of_a_case(town: Town) -> None:
    dossier, invoice = await _bill(town)
    await dossier.calm()
    await WORLDLINE.tell(town.served, WORLDLINE.paid(dossier.reference, "7777777777"))
    told = {"entryId": str(decode_id(invoice, "Invoice")), "reason": "Ramingsnummer is afgesloten"}
    assert (await books(town.served, "entry.rejected", told)).status_code == 204
    page = await dossier.goes_to_pay()
    await WORLDLINE.tell(town.served, WORLDLINE.charged_back(page, dossier.reference))
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    assert {"PAYMENT_UNMATCHED", "ENTRY_REJECTED", "CHARGED_BACK"} <= set(await dossier.tasks())


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_person_settled_is_not_found_anew_each_day(town: Town) -> None:
    dossier, invoice = await _bill(town)
    await _credited(town, invoice, 1)
    (found,) = await _reconciled(town, dossier)
    how = {"reason": "Zie de nota van 3 mei."}
    await town.does(FINANCE, "differenceRepair", id=encode_id("Difference", found.id), input=how)
    assert [one.state for one in await _reconciled(town, dossier)] == ["REPAIRED"]
    await _credited(town, invoice, 2)
    assert [one.state for one in await _reconciled(town, dossier)] == ["REPAIRED", "OPEN"]
    await _credited(town, invoice, 0)


async def test_what_agrees_again_is_closed_by_the_daily_comparison_however_old_it_is(town: Town) -> None:
    dossier, invoice = await _bill(town)
    await _credited(town, invoice, 1)
    (found,) = await _reconciled(town, dossier)
    await town.sql(
        "UPDATE reconciliation SET starts_on = starts_on - 60 WHERE id = :id", id=found.reconciliation_id
    )
    await _credited(town, invoice, 0)
    assert [one.state for one in await _reconciled(town, dossier)] == ["GONE"]


async def test_a_module_that_answers_slowly_is_asked_a_few_at_a_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    dossiers = [(await _bill(town))[0] for _ in range(2)]
    for dossier in dossiers:
        await dossier.pays()
        await dossier.until("AWAITING_SLOT")
    monkeypatch.setattr(comparing, "SECONDS", 0.0)
    await _reconciled(town, dossiers[0])
    (run,) = await town.sql("SELECT id, compared FROM reconciliation ORDER BY id DESC LIMIT 1")
    (pages,) = await town.sql(
        "SELECT count(*) AS number FROM effect WHERE payload->>'reconciliation_id' = :id", id=str(run.id)
    )
    assert run.compared["asked_at_the_module"] == pages.number >= 2


# ── looking and doing ─────────────────────────────────────────────────────────────────────────────────


def _id(dossier: Dossier) -> object:
    return decode_id(dossier.id, "Case")


async def _bill(town: Town) -> tuple[Dossier, str]:
    dossier = await town.applies()
    case = await dossier.until("AWAITING_PAYMENT")
    return dossier, case["invoice"]["id"]


async def _credited(town: Town, invoice: str, amount: int) -> None:
    """As if something went wrong."""
    id = decode_id(invoice, "Invoice")
    await town.sql("UPDATE invoice SET credited = :amount WHERE id = :id", amount=amount, id=id)


async def _reconciled(town: Town, dossier: Dossier) -> list[Any]:
    """The differences of a case, oldest first, after the comparison of the day."""
    async with town.served.loket.work(the_system()) as work:
        await reconciliation.daily(work)

    async def done() -> bool:
        return not await town.sql("SELECT FROM reconciliation WHERE ended_at IS NULL")

    await until(done)
    return await town.sql("SELECT * FROM difference WHERE case_id = :id ORDER BY id", id=_id(dossier))


async def _registers(town: Town, invoice: str, amount: str, day: str = "") -> None:
    told = {"amount": amount, "method": "TRANSFER", "reference": f"rand {next(_numbers)}",
            "valueDate": day or TODAY.isoformat()}  # fmt: skip
    await town.does(FINANCE, "paymentRegister", invoiceId=invoice, input=told)


async def _surplus_ordered(town: Town) -> tuple[Dossier, str, str]:
    """A case whose payer gets two euro back by transfer: refund (bare) and payout."""
    dossier, invoice = await _bill(town)
    await _registers(town, invoice, "30.00")
    (refund,) = (await dossier.read(FINANCE, "refunds { id }"))["refunds"]
    account = {"iban": "BE68 5390 0754 7034", "payee": "An Peeters"}
    told = await town.does(FINANCE, "refundOrder", "payout { id }", id=refund["id"], input=account)
    return dossier, str(decode_id(refund["id"], "Refund")), told["payout"]["id"]


async def _paid_by_hand(town: Town, refund: str) -> None:
    told = {"entryId": refund, "amount": "2.00", "currency": "EUR", "executedOn": TODAY.isoformat()}
    assert (await books(town.served, "refund.executed", told)).status_code == 204


async def _hears(town: Town, payout: str, fact: Fact) -> None:
    async with town.served.loket.work(the_system("Accounting")) as work:
        await payout_facts.heard(work, decode_id(payout, "Payout"), fact)


async def _pause(town: Town, *, paused: bool, system: str = "accounting") -> None:
    action = "systemPause" if paused else "systemResume"
    await town.does("greet", action, system=system)


async def _balances(dossier: Dossier) -> dict[str, Decimal]:
    """What the books say of a case, by account, where it is not nothing."""
    rows = await dossier.town.sql(
        "SELECT l.account, sum(l.debit - l.credit) AS total FROM journalline l"
        " JOIN journalentry e ON e.id = l.entry_id WHERE e.case_id = :id"
        " GROUP BY l.account HAVING sum(l.debit - l.credit) <> 0",
        id=_id(dossier),
    )
    return {row.account: row.total for row in rows}


async def _differences(town: Town, dossier: Dossier) -> list[tuple[str, object, object]]:
    days = {"starts_on": TODAY - timedelta(days=30), "ends_on": TODAY}
    async with town.served.loket.work(the_system()) as work:
        return [
            (str(kind), row["subject_id"], row["detail"])
            for kind, statement in comparing_money.COMPARISONS
            for row in (await work.session.execute(statement, days)).mappings()
            if row["case_id"] == _id(dossier)
        ]
