"""How a case ends: nothing of it stays open.

One action credits the invoice, voids checkouts, orders refunds, frees the slot, stops timers, lets the
registration at MAGDA go, and tells accounting and planning.
"""

from sqlalchemy import select
from sqlmodel import col

from loket import (
    advice,
    cases,
    checks,
    co_applicants,
    credits,
    deliveries,
    deposits,
    duplicates,
    entitlements,
    letters,
    orders,
    payments,
    payout_facts,
    payouts,
    recoveries,
    renewals,
    sources,
    validity,
    withdrawals,
)
from loket.lifecycle import Action, Role, Status, TaskStatus
from loket.records import Application, Case, Person, Task
from loket.work import Work

_STILL_TO_DO = frozenset(
    {
        "REFUND_DUE",
        "CHARGED_BACK",
        "PAYMENT_UNMATCHED",
        "ENTRY_REJECTED",
        "REVIEW_REQUESTED",
        "DELIVERED_UNEXPECTEDLY",
        "RECOVERY",
        "PAYOUT_DIFFERS",
        "AGENDA_ITEM_TO_CORRECT",
        "DECISION_AFTER_WITHDRAWAL",
        "DECISION_DIFFERS",
        "DOCUMENT_DIFFERS",
        "NOTIFY_LATE",
        "NO_ADDRESS",
    }
)
"""Tasks that an end does not settle."""


async def withdraw(work: Work, case: Case, reason: str) -> None:
    """The applicant wants it no more; possible until the goods are handed over, or the money was sent.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED after that.
    """
    said = cases.said(reason, "reason") if reason.strip() else None
    if not await payouts.may_stop(work, case):
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.WITHDRAW, data={"reasons": [said]} if said else {})


async def cancel(work: Work, case: Case, reason: str) -> None:
    """The municipality stops it, and says why."""
    if not await payouts.may_stop(work, case):
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.CANCEL, data={"reasons": [cases.said(reason, "reason")]})


async def request_review(work: Work, case: Case, reason: str) -> None:
    """Whoever was refused can ask that a person looks again.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED for a case that was not refused, and for whoever did not apply.
    """
    refused = case.status in (Status.INADMISSIBLE, Status.REJECTED)
    if not refused or Role.APPLICANT not in cases.roles_in(work, case):
        raise cases.not_allowed(work, case)
    told = cases.said(reason, "reason") if reason.strip() else ""
    await cases.open_task(work, case, "REVIEW_REQUESTED", {"reason": told})


async def reopen(work: Work, case: Case, stage: str, reason: str) -> None:
    """After an appeal, a revision, or money that came back: a new round, from `stage` on."""
    said = cases.said(reason, "reason")
    await cases.advance(work, case, Action.REOPEN, data={"stage": stage, "reasons": [said]})
    application = await work.session.get_one(Application, case.application_id)
    person = await work.session.get_one(Person, case.person_id)
    await sources.want(work, person, case.procedure_key, case.id)
    await orders.place(work, case, application.cart)
    await entitlements.claim(work, case)
    await duplicates.note(work, case)
    await cases.complete_tasks(work, case, "REVIEW_REQUESTED")
    await validity.stop(work, case)
    await renewals.stop(work, case)
    await cases.new_term(work, case)


async def clean_up(work: Work, case: Case) -> None:
    """After an end: leave nothing open, whatever the case had begun."""
    await work.disarm(case=case)
    await payments.void_checkouts(work, case)
    if case.status in (Status.REJECTED, Status.INADMISSIBLE):
        await recoveries.after_refusal(work, case)
    if case.status is not Status.COMPLETED:
        await credits.of_ended_case(work, case, _why(case))
        await deliveries.cancel(work, case)
        await payouts.cancel_live(work, case, _why(case))
        await withdrawals.let_go(work, case, _why(case))
        await orders.give_back(work, case)
        await entitlements.release(work, case)
    await advice.withdraw_all(work, case, _why(case))
    await co_applicants.withdraw(work, case)
    await checks.stop(work, case)
    await sources.let_all_go(work, case.procedure_key, case.id)
    found = await work.session.scalars(
        select(Task).where(col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN)
    )
    open_tasks = found.all()
    stay = _STILL_TO_DO | await payout_facts.watch(work, case)
    done = [task.kind for task in open_tasks if task.kind not in stay]
    if done:
        await cases.complete_tasks(work, case, *done, remark=f"the case ended: {case.status}")
    await letters.watch(work, case)
    if case.status is Status.COMPLETED:
        await validity.begin(work, case)
        await renewals.begin(work, case)
        await deposits.watch(work, case)


def _why(case: Case) -> str:
    return {
        Status.WITHDRAWN: "withdrawn by the applicant",
        Status.CANCELLED: "cancelled",
        Status.INADMISSIBLE: "declared inadmissible",
        Status.REJECTED: "rejected",
    }.get(case.status, str(case.status))
