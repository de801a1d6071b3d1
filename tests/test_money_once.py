"""Whatever is heard of a payout, in whatever order: no fact is refused, nobody is paid twice or never."""

import base64
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from loket import cases, payout_facts, payouts, stages
from loket.errors import Refused
from loket.ids import decode_id
from loket.lifecycle import EventType, PartAction, Role, TaskStatus
from loket.payout_facts import Fact
from loket.records import ActorKind, Event, Payout, Task
from loket.sandbox.bank_files import Line, Sheet, written
from loket.work import Actor, the_system
from premiums import Json
from premiums import written as premium
from test_payouts import GRANTED, plain
from town import FINANCE, HANDLER, Dossier, Town, opened

SECOND = "farah"
IBAN = "BE68 5390 0754 7034"
ON = date(2026, 11, 20)
EXECUTED = Fact(PartAction.EXECUTE, on=ON)
SENT = Fact(PartAction.SEND)
REJECTED = Fact(PartAction.REJECT, code="AC04")
RETURNED = Fact(PartAction.RETURN, on=ON, code="AC04")
DOUBT = Fact(PartAction.DOUBT)
WHY = {"reason": "Het bedrag is fout."}


def _shared(told: Json) -> None:
    """Given once a year to an address, so that it matters who claims it."""
    plain(told)
    told["benefits"] = [
        told["benefits"][0] | {"key": "home", "per": "address", "when": "claims.home == 'FREE'",
                               "asked": "'home' in application.benefits"},
        told["benefits"][0],
    ]  # fmt: skip


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Accounting is silent here: the tests say themselves what it tells."""
    folder = tmp_path_factory.mktemp("procedures")
    premium(folder, "premium", _shared)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        await found.sql(
            "INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)"
            " VALUES ('accounting', true, 100, 50, 0) ON CONFLICT (name) DO UPDATE SET paused = true"
        )
        yield found


async def _granted(town: Town, who: str | None = None, *asked: str) -> Dossier:
    dossier = await _weighed(town, who, *asked)
    await _grants(dossier)
    return dossier


async def _weighed(town: Town, who: str | None = None, *asked: str) -> Dossier:
    """A case that its handler can decide on."""
    who = who or town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure="premium")
    draft = payload["application"]["id"]
    answers = {"benefits": list(asked or ("own",)), "iban": IBAN}
    await town.does(who, "applicationSetAnswers", id=draft, input=answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("AWAITING_DECISION")
    return dossier


async def _grants(dossier: Dossier) -> None:
    await dossier.town.does(HANDLER, "decisionTake", caseId=dossier.id, input=GRANTED)


async def _orders(dossier: Dossier) -> str:
    payload = await dossier.town.does(HANDLER, "payoutOrder", "payout { id }", caseId=dossier.id)
    payout: str = payload["payout"]["id"]
    return payout


async def _approved(dossier: Dossier) -> str:
    payout = await _orders(dossier)
    await dossier.town.does(FINANCE, "payoutApprove", id=payout)
    return payout


async def _hears(town: Town, payout: str, *facts: Fact) -> None:
    for fact in facts:
        async with town.served.loket.work(the_system("Accounting")) as work:
            await payout_facts.heard(work, decode_id(payout, "Payout"), fact)


async def _payouts(dossier: Dossier) -> list[str]:
    seen = await dossier.read(fields="payouts { status }")
    return [one["status"] for one in seen["payouts"]]


async def _status(dossier: Dossier) -> str:
    return str((await dossier.read(fields="status"))["status"])


async def _reopens(dossier: Dossier, stage: str) -> None:
    again = {"stage": stage, "reason": "Herziening."}
    await dossier.town.does(HANDLER, "caseReopen", id=dossier.id, input=again)


# ── what carries its number ───────────────────────────────────────────────────────────────────────────


async def test_a_cent_that_carries_the_number_of_a_payout_is_not_its_return(town: Town) -> None:
    dossier = await _granted(town)
    payout = await _approved(dossier)
    await _hears(town, payout, SENT, EXECUTED)
    number = decode_id(payout, "Payout").hex
    cent = Line(Decimal("0.01"), ON, ON, name="PEETERS AN", end_to_end_id=number)
    made = written("camt08", [Sheet("BE71096123456769", 1, ON, ON, Decimal(1000), (cent,))])
    file = {"name": "dag.xml", "content": base64.b64encode(made).decode()}
    await town.does(FINANCE, "bankStatementImport", input=file)
    assert await _payouts(dossier) == ["EXECUTED"]
    assert "PAYOUT_DIFFERS" not in await dossier.tasks()


# ── taken back too late ───────────────────────────────────────────────────────────────────────────────


async def test_what_was_taken_back_too_late_is_the_payment_and_the_next_order_is_stopped(town: Town) -> None:
    dossier = await _granted(town)
    first = await _approved(dossier)
    await town.does(HANDLER, "payoutCancel", id=first, input=WHY)
    await _orders(dossier)
    await _hears(town, first, EXECUTED)
    assert await _payouts(dossier) == ["EXECUTED", "CANCELLED"]
    assert await _status(dossier) == "COMPLETED"


async def test_what_was_taken_back_too_late_while_another_left_is_recorded_and_recovered(town: Town) -> None:
    dossier = await _granted(town)
    first = await _approved(dossier)
    await town.does(HANDLER, "payoutCancel", id=first, input=WHY)
    second = await _approved(dossier)
    await _hears(town, second, SENT)
    await _hears(town, first, EXECUTED, EXECUTED)
    assert "RECOVERY" in await dossier.tasks()
    await _hears(town, second, EXECUTED)
    assert await _status(dossier) == "COMPLETED"
    assert "RECOVERY" in await dossier.tasks()


async def test_a_payout_that_fails_after_its_decision_was_withdrawn_leaves_a_case_to_decide(
    town: Town,
) -> None:
    dossier = await _granted(town)
    payout = await _approved(dossier)
    await _hears(town, payout, SENT)
    await town.does(HANDLER, "decisionWithdraw", caseId=dossier.id, input=WHY)
    assert "RECOVERY" in await dossier.tasks()
    await _hears(town, payout, REJECTED)
    assert await _status(dossier) == "AWAITING_DECISION"
    assert await dossier.tasks() == ["DECIDE"]


async def test_another_amount_than_was_ordered_is_a_persons_to_see_and_holds_what_follows(town: Town) -> None:
    dossier = await _granted(town)
    less = Fact(PartAction.RETURN, on=ON, amount=Decimal("60.50"), code="MS03")
    await _hears(town, await _approved(dossier), SENT, less)
    assert set(await dossier.tasks()) == {"PAYOUT_RETURNED", "PAYOUT_DIFFERS"}
    refusal = await town.refused(HANDLER, "payoutOrder", caseId=dossier.id)
    assert refusal["code"] == "RULE_NOT_MET"


async def test_a_new_round_has_a_new_term(town: Town) -> None:
    dossier = await _granted(town)
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    await town.sql(
        """UPDATE "case" SET due_on = due_on - 400, overdue = true WHERE reference = :reference""",
        reference=dossier.reference,
    )
    await _reopens(dossier, "DECISION")
    case = await dossier.read(fields="overdue due")
    assert case["overdue"] is False
    assert date.fromisoformat(case["due"]) > date.today()  # noqa: DTZ011  # a month ahead


# ── again ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_revision_pays_what_was_not_paid_yet(town: Town) -> None:
    dossier = await _granted(town)
    await _hears(town, await _approved(dossier), SENT, EXECUTED)
    await _reopens(dossier, "DECISION")
    more = {"outcome": "GRANTED", "amount": "100.00"}
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=more)
    await _grants(dossier)
    again = await town.does(HANDLER, "payoutOrder", "payout { id amount { amount } }", caseId=dossier.id)
    assert again["payout"]["amount"]["amount"] == "29.50"


async def test_a_revision_to_the_same_or_less_pays_nothing_and_less_is_recovered(town: Town) -> None:
    for amount, tasks in (("70.50", []), ("20.00", ["RECOVERY"])):
        dossier = await _granted(town)
        await _hears(town, await _approved(dossier), SENT, EXECUTED)
        await _reopens(dossier, "DECISION")
        wish = {"outcome": "GRANTED", "amount": amount}
        await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=wish)
        await _grants(dossier)
        assert await _status(dossier) == "COMPLETED"
        assert await dossier.tasks() == tasks
    refused = {"granted": False, "motivationLegal": "Artikel 1", "motivationFactual": "Niet waar."}
    dossier = await _granted(town)
    await _hears(town, await _approved(dossier), SENT, EXECUTED)
    await _reopens(dossier, "DECISION")
    await town.does(HANDLER, "decisionTake", caseId=dossier.id, input=refused)
    assert (await _status(dossier), await dossier.tasks()) == ("REJECTED", ["RECOVERY"])


async def test_what_is_paid_already_is_not_to_be_ordered_after_reopening(town: Town) -> None:
    dossier = await _granted(town)
    await _hears(town, await _approved(dossier), SENT, EXECUTED)
    await _reopens(dossier, "PAYOUT")
    assert (await _status(dossier), await dossier.tasks()) == ("COMPLETED", [])


async def test_what_was_let_go_and_is_granted_after_all_is_claimed_again(town: Town) -> None:
    dossier = await _weighed(town, None, "home", "own")
    partly = {
        "benefits": [{"key": "home", "granted": False}],
        "motivationLegal": "Artikel 2",
        "motivationFactual": "Niet waar.",
    }
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input=partly)
    await _grants(dossier)
    await town.does(HANDLER, "decisionWithdraw", caseId=dossier.id, input=WHY)
    await town.does(HANDLER, "decisionPrepare", caseIds=[dossier.id], input={"outcome": "GRANTED"})
    held = "SELECT benefit FROM entitlement WHERE case_id = :id"
    rows = await town.sql(held, id=decode_id(dossier.id, "Case"))
    assert {row.benefit for row in rows} == {"home", "own"}


async def test_what_another_case_has_by_now_is_not_paid_to_this_one(town: Town) -> None:
    first = await _granted(town, "marie", "home")
    await town.does("marie", "caseWithdraw", id=first.id)
    second = await _granted(town, "koen", "home")
    await _reopens(first, "PAYOUT")
    refusal = await town.refused(HANDLER, "payoutOrder", caseId=first.id)
    assert refusal["code"] == "RULE_NOT_MET"
    await _orders(second)


# ── in whatever order ─────────────────────────────────────────────────────────────────────────────────


class _Undone(Exception):
    """Rolls a transaction back: the next order of facts begins where this one did."""


@dataclass(frozen=True)
class _End:
    payout: str
    case: str
    tasks: frozenset[str]
    paid_out: int
    can_be_ordered: bool


async def _after(town: Town, payout_id: UUID, begin: str, facts: Sequence[Fact]) -> _End:
    """How it ends when accounting tells `facts`, one after another; nothing of it is kept."""
    end: _End | None = None
    with contextlib.suppress(_Undone):
        async with town.served.loket.work(the_system("Accounting")) as work:
            payout = await work.session.get_one(Payout, payout_id)
            case = await cases.get(work, payout.case_id)
            handler = Actor(ActorKind.STAFF, HANDLER, frozenset({Role.HANDLER}), payout.ordered_by_id)
            if begin != "approved":
                await payouts.cancel(work.as_actor(handler), case, payout, "toch niet")
            if begin == "ordered anew":
                await payouts.order(work.as_actor(handler), case)
            for fact in facts:
                await payout_facts.heard(work, payout_id, fact)
                await stages.settle(work)
            tasks = await work.session.scalars(
                select(col(Task.kind)).where(
                    col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN
                )
            )
            events = await work.session.scalars(
                select(col(Event.id)).where(
                    col(Event.case_id) == case.id, col(Event.type) == EventType.PAID_OUT
                )
            )
            told = frozenset(tasks.all()), len(events.all())
            try:
                await payouts.order(work.as_actor(handler), case)
                can_be_ordered = True
            except Refused:
                can_be_ordered = False
            end = _End(payout.status, case.status, *told, can_be_ordered)
            raise _Undone
    assert end is not None
    return end


@pytest.mark.parametrize("begin", ["approved", "taken back", "ordered anew"])
async def test_in_any_order_and_told_twice_it_ends_the_same_and_what_left_is_never_paid_again(
    town: Town, begin: str
) -> None:
    dossier = await _granted(town)
    payout = decode_id(await _approved(dossier), "Payout")
    for facts in itertools.product((SENT, DOUBT, EXECUTED, REJECTED, RETURNED), repeat=2):
        end = await _after(town, payout, begin, facts)
        told = [fact.action for fact in facts]
        left = PartAction.EXECUTE in told
        assert end.paid_out <= 1, told
        if left:
            assert end.payout in ("EXECUTED", "RETURNED") or "PAYOUT_DIFFERS" in end.tasks, (told, end)
            assert not end.can_be_ordered, (told, end)
        if left and PartAction.RETURN not in told and PartAction.REJECT not in told:
            assert (end.payout, end.case) == ("EXECUTED", "COMPLETED"), (told, end)
        if set(told) == {PartAction.REJECT} and begin == "approved":
            assert (end.payout, end.case) == ("REJECTED", "AWAITING_APPLICANT")
        if begin == "approved":
            twice = [fact for fact in facts for _ in range(2)]
            assert await _after(town, payout, begin, twice) == end, told
