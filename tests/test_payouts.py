"""A premium is paid out: ordered by one, approved by another, followed to its end whatever the bank does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from loket.api.naming import decode_id
from premiums import Json, rule, written
from town import FINANCE, HANDLER, Dossier, Town, opened, until

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


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "premium", plain)
    written(folder, "premium-with-visum", _with_visum)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


@pytest.fixture(autouse=True)
async def _bank(town: Town) -> AsyncIterator[None]:
    """Executes by itself unless a test says otherwise."""
    yield
    await town.client.put(f"{town.served.house.config.urls['accounting']}/sim/auto", json={"on": False})
    await town.recovers("accounting")


async def _granted(town: Town, procedure: str = "premium", iban: str = IBAN) -> Dossier:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"benefits": ["own"], "iban": iban})
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("AWAITING_DECISION")
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
