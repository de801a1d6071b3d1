"""A premium is paid out: ordered by one, approved by another, followed to its end whatever the bank does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists
from sqlalchemy import select
from sqlmodel import col

from loket import cases, rebooking
from loket.effects import carry_out
from loket.ids import decode_id
from loket.numbers import shared
from loket.records import Effect, EffectKind
from loket.sandbox import personas
from loket.work import the_system
from premiums import Json, rule, written
from town import FINANCE, HANDLER, OPERATOR, REFUND_SECONDS, Dossier, Town, opened, until

SECOND = "farah"
"""Of finance too."""
IBAN = "BE68 5390 0754 7034"
OTHER = "BE71 0961 2345 6769"
GRANTED = {"granted": True, "motivationLegal": "Reglement", "motivationFactual": "Voldaan."}


def _message(subject: str, body: str) -> Json:
    return {"subject": subject, "body": body, "sms": body}


def plain(told: Json) -> None:
    """Screened by rule, decided by a handler, paid out."""
    told["stages"] = ["screening", "decision", "payout"]
    told["phases"][-1]["stages"] = told["stages"]
    told["screening"], told["checks"] = {"by": "rule"}, []
    told.pop("assessment")
    told["rules"] = {"screening": [rule("here", "applicant.address.nis == municipality.nis")]}
    told["benefits"] = [told["benefits"][1] | {"when": "claims.own == 'FREE'"}]
    told["form"]["schema"]["properties"]["iban"] = {"type": "string", "format": "iban"}
    told["payout"] = {"account_field": "/iban", "remittance": "Premie {reference}"}
    messages = told["texts"]["messages"]
    messages["PAID_OUT"] = _message("Wij betaalden u ({reference})", "Wij stortten {granted}.")
    messages["ACCOUNT_NEEDED"] = _message(
        "Geef een ander rekeningnummer ({reference})", "{reason} Doe dat voor {answer_by}."
    )


def _with_visum(told: Json) -> None:
    plain(told)
    told["payout"]["visum"] = True


def _of_two_keys(told: Json) -> None:
    """One benefit of 70.50, and one of 30.00 that is booked elsewhere."""
    plain(told)
    (own,) = told["benefits"]
    home = {
        "key": "home",
        "when": "claims.home == 'FREE'",
        "asked": "'home' in application.benefits",
        "amounts": [{"from": "2026-01-01", "amount": 30}],
        "budget_key": {"account": "6491000", "policy_item": "0911-00", "estimate": "MJP000812"},
    }
    told["benefits"] = [own, own | home]


def _asked_again(told: Json) -> None:
    plain(told)
    told["renewal"] = {"after_months": 12}
    told["texts"]["messages"]["RENEWAL_OFFERED"] = _message("Opnieuw", "Vraag het opnieuw: {link_draft}")


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "premium", plain)
    written(folder, "premium-with-visum", _with_visum)
    written(folder, "premium-of-two-keys", _of_two_keys)
    written(folder, "premium-again", _asked_again)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


@pytest.fixture(autouse=True)
async def _bank(town: Town) -> AsyncIterator[None]:
    """Executes by itself unless a test says otherwise."""
    yield
    accounting = town.served.house.config.urls["accounting"]
    await town.client.put(f"{accounting}/sim/auto", json={"on": False})
    await town.client.put(f"{accounting}/sim/budget", json={"closed": []})
    await town.recovers("accounting")


async def _weighed(town: Town, procedure: str = "premium", *asked: str) -> Dossier:
    """A case that its handler can decide on."""
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    answers = {"benefits": list(asked or ("own",)), "iban": IBAN}
    await town.does(who, "applicationSetAnswers", id=draft, input=answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("AWAITING_DECISION")
    return dossier


async def _granted(town: Town, procedure: str = "premium", *asked: str) -> Dossier:
    dossier = await _weighed(town, procedure, *asked)
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    assert (await dossier.read(fields="status"))["status"] == "AWAITING_PAYOUT"
    return dossier


async def _ordered(town: Town, procedure: str = "premium") -> tuple[Dossier, str]:
    dossier = await _granted(town, procedure)
    payload = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    return dossier, payload["payout"]["id"]


async def _sent(town: Town) -> tuple[Dossier, str]:
    dossier, payout = await _ordered(town)
    await town.does(FINANCE, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "SENT"))
    return dossier, payout


async def _is(dossier: Dossier, status: str) -> bool:
    seen = await dossier.read(fields="payout { status }")
    return bool(seen["payout"]["status"] == status)


@asynccontextmanager
async def _nothing_leaves(town: Town) -> AsyncIterator[None]:
    """Accounting hears of nothing meanwhile."""
    await town.does(OPERATOR, "systemPause", system="accounting")
    try:
        yield
    finally:
        await town.does(OPERATOR, "systemResume", system="accounting")


async def _comes_up(dossier: Dossier, task: str) -> None:
    """Loket hears something of the applicant that a person must settle."""
    async with dossier.town.served.loket.work(the_system("MAGDA check")) as work:
        case = await cases.get(work, decode_id(dossier.id, "Case"))
        await cases.open_task(work, case, task)


async def _settles(dossier: Dossier, kind: str) -> None:
    found = (await dossier.read(fields="tasks { id kind status }"))["tasks"]
    (task,) = [one["id"] for one in found if (one["kind"], one["status"]) == (kind, "OPEN")]
    await dossier.town.does(HANDLER, "taskComplete", id=task)


async def _payouts(dossier: Dossier) -> list[str]:
    seen = await dossier.read(fields="payouts { status }")
    return [one["status"] for one in seen["payouts"]]


async def _pays_anew(dossier: Dossier) -> None:
    """Ordered, approved and executed once more."""
    again = await dossier.town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    payout = again["payout"]["id"]
    await dossier.town.does(FINANCE, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "SENT"))
    await _bank_does(dossier.town, payout, "execute")
    await dossier.until("COMPLETED")


async def _at_the_bank(town: Town, dossier: Dossier) -> list[Json]:
    found = await town.look("accounting", "payouts")
    return [one for one in found if one["order"]["caseReference"] == dossier.reference]


async def _bank_does(town: Town, payout: str, what: str, **told: object) -> None:
    await town.order("accounting", f"payouts/{decode_id(payout, 'Payout')}/{what}", **told)


# ── the road to the account ───────────────────────────────────────────────────────────────────────────


async def test_a_premium_is_ordered_by_one_approved_by_another_and_paid(town: Town) -> None:
    dossier, payout = await _sent(town)
    (order,) = [one["order"] for one in await _at_the_bank(town, dossier)]
    assert (order["amount"], order["creditor"]["iban"]) == ("70.50", IBAN.replace(" ", ""))
    assert order["remittance"] == f"Premie {dossier.reference}"
    assert [one["role"] for one in order["approvals"]] == ["order", "approval"]
    await _bank_does(town, payout, "execute")
    case = await dossier.until("COMPLETED")
    assert case["tasks"]
    assert {one["status"] for one in case["tasks"]} == {"DONE"}
    seen = await dossier.read(dossier.who, "payout { status executedOn account amount { amount } }")
    assert seen["payout"]["status"] == "EXECUTED"
    assert seen["payout"]["account"].startswith("BE68")
    assert "5390" not in seen["payout"]["account"]
    events = await dossier.events()
    told = ["PAYOUT_DUE", "PAYOUT_ORDERED", "PAYOUT_APPROVED", "PAYOUT_SENT", "PAID_OUT", "COMPLETED"]
    assert [one for one in events if one in told] == told


async def test_an_account_number_stands_nowhere_in_the_open(town: Town) -> None:
    dossier, _ = await _sent(town)
    bare = IBAN.replace(" ", "")
    for table in ("application", '"case"', "event", "effect", "payout", "message"):
        rows = await town.sql(f"SELECT row_to_json(t)::text AS line FROM {table} t")  # noqa: S608  # ours
        assert not [row for row in rows if bare in row.line.replace(" ", "")], table
    answers = (await dossier.read(dossier.who, "application { answers }"))["application"]["answers"]
    assert answers["iban"].startswith("BE68")


async def test_nobody_approves_what_he_ordered_and_no_handler_approves_at_all(town: Town) -> None:
    dossier = await _granted(town)
    payload = await town.does(FINANCE, "payoutOrder", "payout { id status }", caseId=dossier.id)
    payout = payload["payout"]["id"]
    assert (await town.refused(FINANCE, "payoutApprove", id=payout))["code"] == "NOT_ALLOWED"
    assert (await town.refused(HANDLER, "payoutApprove", id=payout))["code"] == "NOT_ALLOWED"
    assert await _is(dossier, "ORDERED")
    await town.does(SECOND, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "SENT"))


async def test_a_visum_is_a_third_pair_of_eyes(town: Town) -> None:
    dossier, payout = await _ordered(town, "premium-with-visum")
    await town.does(FINANCE, "payoutApprove", id=payout)
    assert await _is(dossier, "ORDERED")
    assert (await town.refused(FINANCE, "payoutApprove", id=payout))["code"] == "NOT_ALLOWED"
    await town.does(SECOND, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "SENT"))
    (order,) = [one["order"] for one in await _at_the_bank(town, dossier)]
    assert [one["role"] for one in order["approvals"]] == ["order", "visum", "approval"]


async def test_however_many_order_and_approve_at_once_one_payout_leaves(town: Town) -> None:
    dossier = await _granted(town)
    orders = await asyncio.gather(
        *(town.tries(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id) for _ in range(8))
    )
    (ordered,) = [one["payout"]["id"] for one in orders if not one["errors"]]
    approvals = await asyncio.gather(*(town.tries(SECOND, "payoutApprove", id=ordered) for _ in range(8)))
    assert sum(not one["errors"] for one in approvals) == 1
    await until(lambda: _is(dossier, "SENT"))
    await dossier.calm()
    assert len(await _at_the_bank(town, dossier)) == 1


async def test_what_is_declined_or_taken_back_can_be_ordered_again(town: Town) -> None:
    dossier, first = await _ordered(town)
    await town.does(FINANCE, "payoutDecline", id=first, input={"reason": "verkeerd bedrag"})
    payload = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    second = payload["payout"]["id"]
    await town.does(HANDLER, "payoutCancel", id=second, input={"reason": "toch niet"})
    payload = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    seen = await dossier.read(fields="payouts { id status reason }")
    assert [one["status"] for one in seen["payouts"]] == ["DECLINED", "CANCELLED", "ORDERED"]
    assert seen["payouts"][0]["reason"] == "verkeerd bedrag"
    shown = await dossier.read(dossier.who, "payouts { reason }")
    assert {one["reason"] for one in shown["payouts"]} == {""}  # a colleague's words
    assert len({first, second, payload["payout"]["id"]}) == 3


# ── what the bank does ────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_account_goes_back_to_the_applicant_and_is_paid_once_after_correction(
    town: Town,
) -> None:
    dossier, payout = await _sent(town)
    await _bank_does(town, payout, "reject", reasonCode="AC04")
    case = await dossier.until("AWAITING_APPLICANT")
    assert case["tasks"]
    await town.does(dossier.who, "payoutCorrectAccount", caseId=dossier.id, input={"iban": OTHER})
    again = await town.does(HANDLER, "payoutOrder", "payout { id account }", caseId=dossier.id)
    assert again["payout"]["account"].startswith("BE71")
    await town.does(FINANCE, "payoutApprove", id=again["payout"]["id"])
    await until(lambda: _is(dossier, "SENT"))
    await _bank_does(town, again["payout"]["id"], "execute")
    await dossier.until("COMPLETED")
    executed = [one for one in await _at_the_bank(town, dossier) if one["status"] == "EXECUTED"]
    assert len(executed) == 1


async def test_an_account_can_still_be_given_after_silence_but_not_while_a_payout_is_under_way(
    town: Town,
) -> None:
    dossier, payout = await _sent(town)
    refusal = await town.refused(
        dossier.who, "payoutCorrectAccount", caseId=dossier.id, input={"iban": OTHER}
    )
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    assert "PAYOUT_CORRECT_ACCOUNT" not in await dossier.actions(dossier.who)
    await _bank_does(town, payout, "reject", reasonCode="AC04")
    await dossier.until("AWAITING_APPLICANT")
    await dossier.fires("ANSWER")
    await dossier.until("AWAITING_PAYOUT")
    assert "ANSWER_LAPSED" in await dossier.tasks()
    assert "PAYOUT_CORRECT_ACCOUNT" in await dossier.actions(dossier.who)
    await town.does(dossier.who, "payoutCorrectAccount", caseId=dossier.id, input={"iban": OTHER})
    assert await dossier.tasks() == ["ORDER_PAYOUT"]
    again = await town.does(HANDLER, "payoutOrder", "payout { account }", caseId=dossier.id)
    assert again["payout"]["account"].startswith("BE71")


@pytest.mark.parametrize("by", ["json", "pain002"])
async def test_the_bank_tells_in_either_form_and_twice_is_once(town: Town, by: str) -> None:
    dossier, payout = await _sent(town)
    await _bank_does(town, payout, "execute", by=by)
    await dossier.until("COMPLETED")
    recorded = await town.does(
        FINANCE, "payoutRecord", "payout { status }", id=payout, input={"result": "EXECUTED"}
    )
    assert recorded["payout"]["status"] == "EXECUTED"
    assert (await dossier.events()).count("PAID_OUT") == 1


async def test_money_that_comes_back_is_a_task_and_can_be_paid_again_after_reopening(town: Town) -> None:
    dossier, payout = await _sent(town)
    await _bank_does(town, payout, "execute")
    await dossier.until("COMPLETED")
    await _bank_does(town, payout, "return", reasonCode="AC04")
    await until(lambda: _is(dossier, "RETURNED"))
    assert await dossier.tasks() == ["PAYOUT_RETURNED"]
    back = {"stage": "PAYOUT", "reason": "De bank stuurde het geld terug."}
    await town.does(HANDLER, "caseReopen", id=dossier.id, input=back)
    await dossier.until("AWAITING_APPLICANT")
    await town.does(dossier.who, "payoutCorrectAccount", caseId=dossier.id, input={"iban": OTHER})
    assert await dossier.tasks() == ["ORDER_PAYOUT"]
    again = await town.does(HANDLER, "payoutOrder", "payout { id amount { amount } }", caseId=dossier.id)
    await town.does(FINANCE, "payoutApprove", id=again["payout"]["id"])
    await until(lambda: _is(dossier, "SENT"))
    await _bank_does(town, again["payout"]["id"], "execute")
    await dossier.until("COMPLETED")
    assert [one["status"] for one in await _at_the_bank(town, dossier)] == ["RETURNED", "EXECUTED"]


async def test_without_an_answer_a_payout_is_in_doubt_and_never_sent_again_by_itself(town: Town) -> None:
    dossier, payout = await _ordered(town)
    await town.fails("accounting", mode="lose_answer", count=2)
    await town.does(FINANCE, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "IN_DOUBT"))
    await town.recovers("accounting")
    assert "PAYOUT_IN_DOUBT" in await dossier.tasks()
    await dossier.calm()
    assert len(await _at_the_bank(town, dossier)) <= 1
    refusal = await town.refused(HANDLER, "payoutOrder", caseId=dossier.id)
    assert refusal["code"] == "TRANSITION_NOT_ALLOWED"
    await town.does(
        FINANCE, "payoutRecord", id=payout, input={"result": "REJECTED", "reason": "nooit aangekomen"}
    )
    await town.does(HANDLER, "payoutOrder", caseId=dossier.id)


async def test_silence_of_the_bank_is_asked_after(town: Town) -> None:
    dossier, payout = await _sent(town)
    async with town.hooks("accounting", "lose"):
        await _bank_does(town, payout, "execute", by="silent")
    await dossier.fires("PAYOUT_POLL")
    await dossier.until("COMPLETED")


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_case_can_be_withdrawn_until_the_money_is_sent_and_not_after(town: Town) -> None:
    dossier, _ = await _ordered(town)
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    seen = await dossier.read(fields="status payout { status }")
    assert (seen["status"], seen["payout"]["status"]) == ("WITHDRAWN", "CANCELLED")
    dossier, _ = await _sent(town)
    for who, action, more in (
        (dossier.who, "caseWithdraw", {}),
        (HANDLER, "caseCancel", {"input": {"reason": "x"}}),
    ):
        assert (await town.refused(who, action, id=dossier.id, **more))["code"] == "TRANSITION_NOT_ALLOWED"


# ── held ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_death_that_is_heard_after_approval_stops_the_order_until_somebody_settled_it(
    town: Town,
) -> None:
    dossier, payout = await _ordered(town)
    magda = f"{town.served.house.config.urls['magda']}/sim/persons/{dossier.who}"
    async with _nothing_leaves(town):
        await town.does(FINANCE, "payoutApprove", id=payout)
        await town.order("magda", f"persons/{dossier.who}", deceased_on="2026-11-20")
        async with town.served.loket.work(the_system()) as work:
            case = await cases.get(work, decode_id(dossier.id, "Case"))
            await work.leave(EffectKind.MAGDA_CHECK, {"round": case.round}, case=case)
        await until(lambda: _has_task(dossier, "APPLICANT_DECEASED"))
        assert await _payouts(dossier) == ["CANCELLED"]
        assert set(await dossier.tasks()) == {"APPLICANT_DECEASED", "ORDER_PAYOUT"}
    await dossier.calm()
    assert await _at_the_bank(town, dossier) == []
    assert "PAYOUT_CANCELLED" in await dossier.events()
    assert (await town.refused(HANDLER, "payoutOrder", caseId=dossier.id))["code"] == "RULE_NOT_MET"
    await town.client.delete(magda)
    await _settles(dossier, "APPLICANT_DECEASED")
    await _pays_anew(dossier)
    assert [one["status"] for one in await _at_the_bank(town, dossier)] == ["EXECUTED"]


async def _has_task(dossier: Dossier, kind: str) -> bool:
    return kind in await dossier.tasks()


@pytest.mark.parametrize("task", ["NUMBER_REPLACED", "APPLICANT_MOVED", "PAYOUT_DIFFERS"])
async def test_an_order_is_looked_at_once_more_when_it_leaves(town: Town, task: str) -> None:
    dossier, payout = await _ordered(town)
    async with _nothing_leaves(town):
        await town.does(FINANCE, "payoutApprove", id=payout)
        await town.sql(
            "INSERT INTO task (id, case_id, kind, status, data, opened_at, remark)"
            " VALUES (gen_random_uuid(), :id, :kind, 'OPEN', '{}', now(), '')",
            id=decode_id(dossier.id, "Case"),
            kind=task,
        )
        assert await _payouts(dossier) == ["APPROVED"]
    await until(lambda: _is(dossier, "CANCELLED"))
    await dossier.calm()
    assert await _at_the_bank(town, dossier) == []
    assert set(await dossier.tasks()) == {task, "ORDER_PAYOUT"}


async def test_an_order_that_is_leaving_when_something_comes_up_is_recalled(town: Town) -> None:
    dossier, payout = await _ordered(town)
    loket = town.served.loket
    async with _nothing_leaves(town):
        await town.does(FINANCE, "payoutApprove", id=payout)
        async with loket.database.transaction() as session:
            found = await session.scalars(
                select(Effect).where(
                    col(Effect.case_id) == decode_id(dossier.id, "Case"),
                    col(Effect.kind) == EffectKind.PAYOUT_SEND,
                )
            )
            effect = found.one()
        answer = await carry_out(loket, effect)  # not written down yet
        assert await _stands(town, dossier, ["ACCEPTED"])
        await _comes_up(dossier, "NUMBER_REPLACED")
        assert await _payouts(dossier) == ["CANCELLED"]
        assert answer.then is not None
        async with loket.work(the_system("accounting")) as work:
            await answer.then(work)
    await dossier.calm()
    assert await _payouts(dossier) == ["CANCELLED"]
    assert await _stands(town, dossier, ["CANCELLED"])
    await _settles(dossier, "NUMBER_REPLACED")
    await _pays_anew(dossier)
    assert await _stands(town, dossier, ["CANCELLED", "EXECUTED"])


async def _stands(town: Town, dossier: Dossier, statuses: list[str]) -> bool:
    return [one["status"] for one in await _at_the_bank(town, dossier)] == statuses


async def test_a_refund_by_transfer_is_held_as_a_premium_is(town: Town) -> None:
    dossier, refund = await _refund_failed(town)
    async with _nothing_leaves(town):
        await _refunded_by_transfer(town, refund)
        await _comes_up(dossier, "APPLICANT_DECEASED")
        assert await _refund(dossier) == "FAILED"
        assert set(await dossier.tasks()) == {"APPLICANT_DECEASED", "REFUND_DUE"}
    await dossier.calm()
    assert await _at_the_bank(town, dossier) == []


async def _refund_failed(town: Town) -> tuple[Dossier, str]:
    """A bin that was paid online and withdrawn: the bank will not pay it back by the way that it came."""
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    bank = f"{town.served.house.config.urls['worldline']}/sim/settings"
    await town.client.put(bank, json={"refundSeconds": None})
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)

    async def asked() -> list[Json]:
        mine = [one["id"] for one in await town.look("worldline", "payments")
                if one["reference"] == dossier.reference]  # fmt: skip
        return [one for one in await town.look("worldline", "refunds") if one["paymentId"] in mine]

    async def is_asked() -> bool:
        return bool(await asked())

    await until(is_asked)
    await town.client.put(bank, json={"refundSeconds": REFUND_SECONDS})
    (one,) = await asked()
    await town.order("worldline", f"refunds/{one['id']}/settle", outcome="rejected")

    async def failed() -> bool:
        return await _refund(dossier) == "FAILED"

    await until(failed)
    return dossier, (await dossier.read(fields="refunds { id }"))["refunds"][0]["id"]


async def _refund(dossier: Dossier) -> str:
    return str((await dossier.read(fields="refunds { status }"))["refunds"][0]["status"])


async def _refunded_by_transfer(town: Town, refund: str) -> str:
    account = {"iban": IBAN, "payee": "An Peeters"}
    told = await town.does(FINANCE, "refundOrder", "payout { id }", id=refund, input=account)
    payout: str = told["payout"]["id"]
    await town.does(SECOND, "payoutApprove", id=payout)
    return payout


# ── what accounting will not take ─────────────────────────────────────────────────────────────────────


async def _parked(town: Town) -> tuple[Dossier, str, str]:
    """An approved payout on an account that is closed, and the effect that an operator sees."""
    dossier, payout = await _ordered(town)
    await town.order("accounting", "budget", closed=["6480000"])
    await town.does(FINANCE, "payoutApprove", id=payout)
    await until(lambda: _has_task(dossier, "PAYOUT_NOT_SENT"))
    query = "{ failedEffects(first: 50) { nodes { id kind case { reference } } } }"
    failed = (await town.ask(OPERATOR, query))["failedEffects"]["nodes"]
    (effect,) = [one["id"] for one in failed if one["case"]["reference"] == dossier.reference]
    return dossier, payout, effect


async def test_an_order_that_accounting_will_not_take_is_finances_task_and_leaves_when_tried_again(
    town: Town,
) -> None:
    dossier, payout, effect = await _parked(town)
    seen = await dossier.read(fields="tasks { kind data role }")
    (task,) = [one for one in seen["tasks"] if one["kind"] == "PAYOUT_NOT_SENT"]
    assert "rekening 6480000 is afgesloten" in task["data"]["why"]
    assert task["role"] == "FINANCE"
    assert await _payouts(dossier) == ["APPROVED"]
    await town.order("accounting", "budget", closed=[])
    await town.does(OPERATOR, "effectRetry", id=effect)
    await until(lambda: _is(dossier, "SENT"))
    assert await dossier.tasks() == []
    await _bank_does(town, payout, "execute")
    await dossier.until("COMPLETED")


@pytest.mark.parametrize("by", ["effectSkip", "payoutCancel"])
async def test_an_order_that_accounting_will_not_take_can_be_given_up_and_ordered_anew(
    town: Town, by: str
) -> None:
    dossier, payout, effect = await _parked(town)
    why = {"reason": "Verkeerde sleutel."}
    if by == "effectSkip":
        await town.does(OPERATOR, by, id=effect, input=why)
    else:
        await town.does(HANDLER, by, id=payout, input=why)
    assert await _payouts(dossier) == ["CANCELLED"]
    assert await dossier.tasks() == ["ORDER_PAYOUT"]
    await town.order("accounting", "budget", closed=[])
    await _pays_anew(dossier)
    assert await _stands(town, dossier, ["EXECUTED"])


async def test_a_recall_that_accounting_will_not_hear_of_is_finances_task(town: Town) -> None:
    dossier, payout = await _ordered(town)
    async with _nothing_leaves(town):
        await town.does(FINANCE, "payoutApprove", id=payout)
        await town.does(HANDLER, "payoutCancel", id=payout, input={"reason": "toch niet"})
        await town.fails("accounting", mode="refuse", count=1)
    await until(lambda: _has_task(dossier, "PAYOUT_NOT_RECALLED"))


# ── where it is booked ────────────────────────────────────────────────────────────────────────────────

OWN = {"account": "6480000", "policyItem": "0909-00"}
HOME = {"account": "6491000", "policyItem": "0911-00", "estimate": "MJP000812"}
BINS = {"account": "7010000", "policyItem": "0309-00"}


async def _booked(town: Town, dossier: Dossier) -> list[list[tuple[Json, str]]]:
    """Of each order: budget key and amount."""
    return [
        [(line["budgetKey"], line["amount"]) for line in one["order"]["lines"]]
        for one in await _at_the_bank(town, dossier)
    ]


async def _is_sent(dossier: Dossier) -> str:
    again = await dossier.town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    payout: str = again["payout"]["id"]
    await dossier.town.does(FINANCE, "payoutApprove", id=payout)
    await until(lambda: _is(dossier, "SENT"))
    return payout


@pytest.mark.parametrize(
    ("wish", "lines"),
    [
        ({"outcome": "GRANTED"}, [(HOME, "30.00"), (OWN, "70.50")]),
        ({"benefits": [{"key": "home", "granted": False}]}, [(OWN, "70.50")]),
        # 100.01 by 30.00 : 70.50; the odd cent goes to the largest remainder
        ({"outcome": "GRANTED", "amount": "100.01"}, [(HOME, "29.85"), (OWN, "70.16")]),
    ],
)
async def test_what_is_paid_is_booked_on_the_key_of_each_benefit(
    town: Town, wish: Json, lines: list[tuple[Json, str]]
) -> None:
    dossier = await _weighed(town, "premium-of-two-keys", "home", "own")
    motivated = {name: text for name, text in GRANTED.items() if name != "granted"}
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=wish | motivated)
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    await _is_sent(dossier)
    ((booked),) = await _booked(town, dossier)
    assert sorted(booked, key=str) == sorted(lines, key=str)


async def test_what_was_approved_before_orders_had_lines_is_booked_all_the_same(town: Town) -> None:
    dossier = await _granted(town, "premium-of-two-keys", "home", "own")
    payload = await town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    async with _nothing_leaves(town):
        await town.does(FINANCE, "payoutApprove", id=payload["payout"]["id"])
        await town.sql(
            "UPDATE effect SET payload = payload - 'lines' WHERE case_id = :id AND kind = 'PAYOUT_SEND'",
            id=decode_id(dossier.id, "Case"),
        )
    await until(lambda: _is(dossier, "SENT"))
    ((booked),) = await _booked(town, dossier)
    assert sorted(amount for _, amount in booked) == ["30.00", "70.50"]


@pytest.mark.parametrize(
    ("first", "then", "lines"),
    [
        (
            {"benefits": [{"key": "home", "granted": False}]},
            {"benefits": [{"key": "home", "granted": True}], "outcome": "GRANTED"},
            [[(OWN, "70.50")], [(HOME, "30.00")]],
        ),
        (
            {"outcome": "GRANTED", "amount": "100.01"},
            {"outcome": "GRANTED", "amount": "200.00"},
            [[(HOME, "29.85"), (OWN, "70.16")], [(HOME, "29.85"), (OWN, "70.14")]],
        ),
    ],
)
async def test_a_revision_books_what_it_adds_where_it_adds_it(
    town: Town, first: Json, then: Json, lines: list[list[tuple[Json, str]]]
) -> None:
    dossier = await _weighed(town, "premium-of-two-keys", "home", "own")
    motivated = {name: text for name, text in GRANTED.items() if name != "granted"}
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=first | motivated)
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    await _bank_does(town, await _is_sent(dossier), "execute")
    await dossier.until("COMPLETED")
    again = {"stage": "DECISION", "reason": "Herziening."}
    await town.does(HANDLER, "caseReopen", id=dossier.id, input=again)
    await dossier.until("AWAITING_DECISION")
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=then | motivated)
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    await _is_sent(dossier)
    booked = await _booked(town, dossier)
    assert [sorted(one, key=str) for one in booked] == [sorted(one, key=str) for one in lines]


async def test_a_refund_by_transfer_is_booked_where_the_invoice_was(town: Town) -> None:
    dossier, refund = await _refund_failed(town)
    await _refunded_by_transfer(town, refund)
    await until(lambda: _stands(town, dossier, ["ACCEPTED"]))
    assert await _booked(town, dossier) == [[(BINS, "28.00")]]


async def test_a_refund_by_transfer_whose_entry_was_lost_is_booked_again_out_of_the_bank(town: Town) -> None:
    """Not out of the payment module, which paid nothing back; and accounting, which paid, is not told."""
    dossier, refund = await _refund_failed(town)
    payout = await _refunded_by_transfer(town, refund)
    await until(lambda: _stands(town, dossier, ["ACCEPTED"]))
    await _bank_does(town, payout, "execute")
    await until(lambda: _is_done(dossier))
    entry = "SELECT id FROM journalentry WHERE type = 'REFUND' AND subject_id = :id"
    id = decode_id(refund, "Refund")
    await town.sql(f"DELETE FROM journalline WHERE entry_id IN ({entry})", id=id)  # noqa: S608  # ours
    await town.sql("DELETE FROM journalentry WHERE type = 'REFUND' AND subject_id = :id", id=id)
    async with town.served.loket.work(the_system()) as work:
        case = await cases.get(work, decode_id(dossier.id, "Case"))
        await rebooking.book(work, case, "REFUND", id)
    rows = await town.sql(
        "SELECT e.state, l.account FROM journalentry e JOIN journalline l ON l.entry_id = e.id"
        " WHERE e.type = 'REFUND' AND e.subject_id = :id ORDER BY l.position",
        id=id,
    )
    assert [(row.state, row.account) for row in rows] == [("KNOWN", "REFUNDABLE"), ("KNOWN", "BANK")]


async def _is_done(dossier: Dossier) -> bool:
    return await _refund(dossier) == "DONE"


@given(
    cents=integers(1, 10**9),
    weights=lists(integers(-50, 10**6), min_size=1, max_size=6).filter(lambda ws: max(ws) > 0),
)
def test_to_the_cent_the_parts_are_the_whole(cents: int, weights: list[int]) -> None:
    total = Decimal(cents) / 100
    by_key = {(("account", str(number)),): Decimal(weight) / 100 for number, weight in enumerate(weights)}
    parts = shared(total, by_key)
    assert sum(parts.values()) == total
    whole = sum(weight for weight in weights if weight > 0)
    for key, part in parts.items():
        assert part > 0
        assert abs(part - total * by_key[key] * 100 / whole) < Decimal("0.01")


# ── seeing ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_late_payout_is_somebodys_task(town: Town) -> None:
    dossier = await _granted(town)
    await dossier.fires("PAYOUT_END")
    assert set(await dossier.tasks()) == {"ORDER_PAYOUT", "PAYOUT_LATE"}


async def test_an_applicant_orders_and_sees_no_payout_of_another(town: Town) -> None:
    dossier, payout = await _ordered(town)
    stranger = town.somebody()
    seen = await town.ask(stranger, "query($id: ID!) { node(id: $id) { id } }", id=payout)
    assert seen["node"] is None
    assert (await town.refused(stranger, "payoutOrder", caseId=dossier.id))["code"] == "NOT_ALLOWED"


async def test_finance_has_its_list(town: Town) -> None:
    _, payout = await _ordered(town)
    query = "{ payouts(filter: {status: [ORDERED]}, first: 100) { nodes { id status } } }"
    seen = await town.ask(FINANCE, query)
    assert payout in [one["id"] for one in seen["payouts"]["nodes"]]
    assert {one["status"] for one in seen["payouts"]["nodes"]} == {"ORDERED"}


# ── asked again ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at_the_counter", [True, False])
async def test_an_account_comes_back_to_its_applicant_alone(town: Town, at_the_counter: bool) -> None:
    """Of an account that was handed in staff see the masked form: also in the draft to ask it again."""
    if at_the_counter:
        person = personas.person(who := town.somebody())
        assert isinstance(person, personas.Citizen)
        visitor = {"givenName": "Wie", "familyName": "Dan Ook", "nationalNumber": person.insz}
        payload = await town.does(
            HANDLER,
            "applicationStartAtCounter",
            "application { id }",
            procedure="premium-again",
            input=visitor,
        )
        draft = payload["application"]["id"]
        answers = {"benefits": ["own"], "iban": IBAN}
        await town.does(HANDLER, "applicationSetAnswers", id=draft, input=answers)
        payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=draft)
        dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
        await dossier.until("AWAITING_DECISION")
    else:
        dossier = await _weighed(town, "premium-again")
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)
    await _pays_anew(dossier)
    await dossier.fires("RENEWAL")
    reader = HANDLER if at_the_counter else dossier.who
    renewal = (await dossier.read(reader, "renewal { answers }"))["renewal"]
    iban = {} if at_the_counter else {"iban": IBAN.replace(" ", "")}
    assert renewal["answers"] == {"benefits": ["own"]} | iban
    if not at_the_counter:
        assert (await dossier.read(HANDLER, "renewal { answers }"))["renewal"] is None
