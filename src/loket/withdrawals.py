"""A decision taken back: a draft from its agenda, or what was granted already (intrekking)."""

from loket import agenda, cases, decisions, entitlements, letters, payout_book, payouts
from loket.lifecycle import DECISION, FINAL, Action, EventType, PartAction, Stage
from loket.proposals import GRANTING
from loket.records import Case, Decision
from loket.work import Work, the_system


async def withdraw(work: Work, case: Case, reason: str) -> Decision:
    """Take back what is proposed or granted; what was paid already is a person's to recover.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nothing was proposed or granted; REQUIRED without a reason.
    """
    why = cases.said(reason, "reason")
    decision = await decisions.of(work, case)
    if decision is None and case.stage is Stage.PAYOUT:  # reopened to be paid: the round before decided
        decision = await payout_book.standing(work, case)
    if decision is None or DECISION.find(decision.status, PartAction.WITHDRAW) is None:
        raise cases.not_allowed(work, case)
    if decision.status in GRANTING:
        await _revoke(work, case, decision, why)
        return decision
    await agenda.take_back(work, case, decision, why)
    await agenda.leave(work, case, decision)
    await cases.open_task(work, case, "DECIDE", {"why": why})
    return decision


async def _revoke(work: Work, case: Case, decision: Decision, why: str) -> None:
    """What was granted holds no more: back to the decision, unless the money went."""
    table = cases.machine(work.definition(case))
    sent = not await payouts.may_stop(work, case)
    revocable = table.find((case.stage, case.status), Action.REVOKE) is not None
    pays_out = Stage.PAYOUT in work.definition(case).stages
    if not pays_out or not (sent or revocable or case.status in FINAL):
        raise cases.not_allowed(work, case)  # goods are stopped in other ways
    cases.move(work, DECISION, decision, PartAction.WITHDRAW)
    decision.withdrawn_at, decision.withdrawn_reason = work.now, why
    await letters.hold_back(work, decision)
    if not sent and revocable:
        await payouts.cancel_live(work, case, why)
        await cases.complete_tasks(work, case, "ORDER_PAYOUT", "APPROVE_PAYOUT", "PAYOUT_LATE")
        await cases.advance(work, case, Action.REVOKE, data={"reasons": [why]})
        await cases.new_term(work, case)
        return
    await cases.record(work, case, EventType.DECISION_WITHDRAWN, data={"reasons": [why]})
    if case.status in FINAL:  # another application may have it
        await entitlements.release(work, case)
    if sent:
        amount = str(decision.amount) if decision.amount else None
        await cases.open_task(work, case, "RECOVERY", {"amount": amount, "why": why})


async def let_go(work: Work, case: Case, why: str) -> None:
    """The case ended without a decision: nothing of it stays on an agenda."""
    decision = await decisions.of(work, case)
    if decision is None or decision.status not in agenda.OPEN:
        return
    by_itself = work.as_actor(the_system())
    await agenda.take_back(by_itself, case, decision, why)
    await agenda.leave(by_itself, case, decision)
