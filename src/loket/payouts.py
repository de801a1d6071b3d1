"""Premiums that are paid to citizens, and refunds that go by bank transfer (uitbetaling): ordered, approved.

One orders, another approves; where a visum is asked, a third signs for the credit before. What became of it
is in `payout_facts`. Nothing unclear is ever paid again by itself.
"""

from datetime import timedelta

from sqlalchemy import select
from sqlmodel import col

from loket import cases, payout_accounts, payout_book, payout_lines, recoveries, refunds, sepa
from loket.errors import ErrorCode, Refused
from loket.facts import facts_of
from loket.lifecycle import (
    FINAL,
    PAYOUT,
    REFUND,
    Action,
    EventType,
    PartAction,
    PayoutStatus,
    RefundStatus,
    Stage,
    TimerKind,
)
from loket.records import (
    Case,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Payout,
    PayoutKind,
    Person,
    Refund,
)
from loket.terms import end_of
from loket.work import Work, the_system


async def due(work: Work, case: Case) -> None:
    """The case enters its payout: whoever handles it orders.

    A case that is reopened because the bank sent the money back waits for another account first.
    """
    decision = await payout_book.standing(work, case)
    if decision is None or not decision.amount:
        await cases.pass_on(work, case)
        return
    await cases.complete_tasks(work, case, "PAYOUT_RETURNED", "PAYOUT_REJECTED")
    owed = await recoveries.owed(work, case, decision)
    if owed <= 0:
        await cases.pass_on(work, case)
        return
    days = payout_book.rules(work, case).within_days
    await work.arm(TimerKind.PAYOUT_END, end_of(work.today + timedelta(days=days)), case=case)
    last = await payout_book.last(work, decision)
    if (
        last is not None
        and last.reason_code in payout_accounts.WRONG_ACCOUNT
        and payout_accounts.went_to(case, last)
    ):
        await payout_accounts.ask_another(work, case, last)
    else:
        await cases.open_task(work, case, "ORDER_PAYOUT", {"amount": str(owed)})


async def late(work: Work, case: Case) -> None:
    """It was not paid within the days that the procedure promises."""
    if case.stage is Stage.PAYOUT and case.status not in FINAL:
        await cases.open_task(work, case, "PAYOUT_LATE")


async def order(work: Work, case: Case) -> Payout:
    """Order what was granted to be paid.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nothing is to be paid out, or a payout of it lives already;
            RULE_NOT_MET while something about the applicant must be settled first, no account is known, or
            another case has by now what was granted once a year.
    """
    decision = await payout_book.standing(work, case)
    await payout_book.nothing_holds(work, case)
    if decision is None or not decision.amount or await payout_book.live(work, case) is not None:
        raise cases.not_allowed(work, case)
    owed = await recoveries.owed(work, case, decision)
    if owed <= 0:
        raise cases.not_allowed(work, case)
    await _nobody_else_has_it(work, case, decision)
    account = case.facts.get("account")
    if account is None:
        reason = "Er is geen rekeningnummer." if work.actor.language == "nl" else "No account is known."
        raise Refused(ErrorCode.RULE_NOT_MET, reason=reason)
    person = await work.session.get_one(Person, case.person_id)
    payee = _payee(_name(person))
    definition = work.definition(case)
    payout = Payout(
        case_id=case.id,
        round=case.round,
        decision_id=decision.id,
        kind=PayoutKind.PREMIUM,
        amount=owed,
        payee=payee,
        iban_sealed=bytes.fromhex(account["sealed"]),
        iban_masked=account["masked"],
        remittance=payout_book.rules(work, case).remittance.nl.format(
            reference=case.reference, procedure=definition.title.nl
        ),
        ordered_by_id=work.actor.id,
        ordered_at=work.now,
    )
    await cases.advance(work, case, Action.ORDER_PAYOUT, data=payout_book.told(payout))
    work.session.add(payout)
    await cases.complete_tasks(work, case, "ORDER_PAYOUT")
    await cases.open_task(
        work, case, "APPROVE_PAYOUT", {"payout": str(payout.id), "amount": str(payout.amount)}
    )
    return payout


async def order_refund(work: Work, case: Case, refund: Refund, *, iban: str, payee: str) -> Payout:
    """Order a refund to be paid by bank transfer, where the way that the money came is closed.

    Raises:
        Refused: VALIDATION for a wrong account; TRANSITION_NOT_ALLOWED for a refund that did not fail.
    """
    try:
        checked = sepa.check_iban(iban)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "iban"], reason=str(fault)) from fault
    step = REFUND.find(refund.status, PartAction.ORDER)
    if step is None or not step.by & work.actor.roles:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=refund.status)
    refund.status, refund.ordered_at = step.to, work.now
    refund.provider_refund_id = None  # what the payment module still says is of the refund that it refused
    payout = Payout(
        case_id=case.id,
        round=case.round,
        refund_id=refund.id,
        kind=PayoutKind.REFUND,
        amount=refund.amount,
        payee=_payee(payee),
        iban_sealed=work.vault.seal(checked),
        iban_masked=sepa.masked_iban(checked),
        remittance=f"Terugbetaling {case.reference}",
        ordered_by_id=work.actor.id,
        ordered_at=work.now,
    )
    work.session.add(payout)
    await cases.record(work, case, EventType.PAYOUT_ORDERED, data=payout_book.told(payout))
    await cases.open_task(
        work, case, "APPROVE_PAYOUT", {"payout": str(payout.id), "amount": str(payout.amount)}
    )
    return payout


async def approve(work: Work, case: Case, payout: Payout) -> None:
    """A second person agrees; where the procedure asks a visum, the first to agree gives that.

    Raises:
        Refused: NOT_ALLOWED for whoever ordered it or gave the visum; TRANSITION_NOT_ALLOWED unless it waits,
            and for a refund that was paid back in another way meanwhile.
    """
    await payout_book.nothing_holds(work, case)
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id, populate_existing=True)
        if refund.status is not RefundStatus.ORDERED:
            raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=refund.status)
    if work.actor.id is None or work.actor.id in (payout.ordered_by_id, payout.visum_by_id):
        raise Refused(ErrorCode.NOT_ALLOWED)
    needs_visum = (
        payout.kind is PayoutKind.PREMIUM
        and payout_book.rules(work, case).visum
        and payout.visum_by_id is None
    )
    if PAYOUT.find(payout.status, PartAction.APPROVE) is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=payout.status)
    if needs_visum:
        payout.visum_by_id, payout.visum_at = work.actor.id, work.now
        payout.version += 1
        await cases.record(
            work, case, EventType.PAYOUT_APPROVED, data=payout_book.told(payout) | {"visum": True}
        )
        return
    cases.move(work, PAYOUT, payout, PartAction.APPROVE)
    payout.approved_by_id, payout.approved_at = work.actor.id, work.now
    await _advance(work, case, payout, Action.APPROVE_PAYOUT, EventType.PAYOUT_APPROVED)
    lines = await payout_lines.split(work, case, payout)
    await work.leave(EffectKind.PAYOUT_SEND, {"payout_id": str(payout.id), "lines": lines}, case=case)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT")


async def _give_up_refund(work: Work, case: Case, payout: Payout) -> None:
    """A refund whose payout was not approved, or taken back, is to be ordered anew."""
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id)
        await refunds.failed(work.as_actor(the_system()), case, refund, payout.reason)


async def decline(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """A second person does not agree, and says why; it can be ordered again."""
    why = cases.said(reason, "reason")
    if work.actor.id == payout.ordered_by_id:
        raise Refused(ErrorCode.NOT_ALLOWED)
    cases.move(work, PAYOUT, payout, PartAction.DECLINE)
    _end(work, payout, why)
    await _advance(work, case, payout, Action.DECLINE_PAYOUT, EventType.PAYOUT_DECLINED)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT")
    await _again(work, case, payout)
    await _give_up_refund(work, case, payout)


async def cancel(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """Take an order back, as long as accounting does not have it."""
    why = cases.said(reason, "reason")
    await take_back(work, case, payout, why)
    await _advance(work, case, payout, Action.CANCEL_PAYOUT, EventType.PAYOUT_CANCELLED)
    await _again(work, case, payout)
    await _give_up_refund(work, case, payout)


async def cancel_live(work: Work, case: Case, reason: str) -> None:
    """The case stops, or its decision is withdrawn: what was not sent is not paid.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when the money is on its way.
    """
    payout = await payout_book.live(work, case)
    if payout is None:
        return
    if payout.status not in payout_book.UNSENT:
        raise cases.not_allowed(work, case)
    await take_back(work.as_actor(the_system()), case, payout, reason)
    await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=payout_book.told(payout))


async def take_back(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """End an order that was not sent; where it may have left unheard, accounting is told to drop it."""
    was_approved = payout.status is PayoutStatus.APPROVED
    cases.move(work, PAYOUT, payout, PartAction.CANCEL)
    _end(work, payout, reason)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT", "PAYOUT_NOT_SENT")
    if was_approved:  # the order may be leaving at this very moment
        await work.leave(EffectKind.PAYOUT_RECALL, {"payout_id": str(payout.id)}, case=case)
        await _forget_parked(work, payout)


async def _forget_parked(work: Work, payout: Payout) -> None:
    """An order that accounting would not take, and nobody wants any more, holds back nothing behind it."""
    parked = await work.session.scalars(
        select(Effect).where(
            col(Effect.case_id) == payout.case_id,
            col(Effect.kind) == EffectKind.PAYOUT_SEND,
            col(Effect.state).in_((EffectState.PARKED, EffectState.IN_DOUBT)),
            col(Effect.payload)["payout_id"].astext == str(payout.id),
        )
    )
    for effect in parked.all():
        effect.state, effect.done_at = EffectState.SKIPPED, work.now
        effect.last_error = f"the payout was taken back; before that: {effect.last_error}"[:1000]


async def stop(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """An approved order may not leave: it is taken back, and a person orders anew once that is right.

    Who approved did not know `reason`, so what is ordered anew is approved anew. Nothing happens to one that
    left already.
    """
    if payout.status is not PayoutStatus.APPROVED:
        return
    await take_back(work, case, payout, reason)
    data = payout_book.told(payout) | {"why": reason}
    await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=data)
    await _again(work, case, payout)
    await _give_up_refund(work, case, payout)


async def refund_is_done(work: Work, case: Case, refund: Refund) -> None:
    """The payer has it back by another way: what was not sent does not leave as well."""
    for payout in await payout_book.unsent_of(work, refund):
        await take_back(work.as_actor(the_system()), case, payout, "paid back in another way")
        await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=payout_book.told(payout))


async def stop_held(work: Work) -> None:
    """What came up in this work that must be settled before money goes out stops what is approved already."""
    held = {
        case.id: (case, event.data["task"])
        for case, event in work.happened
        if event.type is EventType.TASK_OPENED and event.data["task"] in payout_book.HOLDS
    }
    for case, kind in held.values():
        for payout in await payout_book.approved(work, case):
            await stop(work, case, payout, f"held: {kind}")


async def may_stop(work: Work, case: Case) -> bool:
    """Whether withdrawing or cancelling the case is possible still: no money is on its way or there."""
    payout = await payout_book.live(work, case)
    return payout is None or payout.status in payout_book.UNSENT


async def _nobody_else_has_it(work: Work, case: Case, decision: Decision) -> None:
    """Raises `Refused` RULE_NOT_MET where a case that ended let go of its claim, and finds it taken now."""
    claims = (await facts_of(work, case)).claims
    taken = [one["key"] for one in decision.benefits if one["granted"] and claims.get(one["key"]) == "TAKEN"]
    if taken:
        said = {
            "nl": "Een ander dossier heeft deze toelage intussen voor dit jaar.",
            "en": "Another case has this allowance for this year by now.",
        }
        reason = said.get(work.actor.language, said["en"])
        raise Refused(ErrorCode.RULE_NOT_MET, extra={"rule": taken[0]}, reason=reason)


async def _advance(work: Work, case: Case, payout: Payout, action: Action, event: EventType) -> None:
    """A premium's payout moves its case along; a refund's is only written down."""
    if payout.kind is PayoutKind.PREMIUM:
        await cases.advance(work, case, action, data=payout_book.told(payout))
    else:
        await cases.record(work, case, event, data=payout_book.told(payout))


async def _again(work: Work, case: Case, payout: Payout) -> None:
    if payout.kind is PayoutKind.PREMIUM and case.stage is Stage.PAYOUT and case.status not in FINAL:
        await cases.open_task(
            work, case, "ORDER_PAYOUT", {"amount": str(payout.amount), "why": payout.reason}
        )


def _end(work: Work, payout: Payout, reason: str) -> None:
    payout.reason = reason
    payout.ended_at = work.now


def _payee(name: str) -> str:
    """Raises `Refused` VALIDATION for a name of which no bank keeps a letter."""
    try:
        sepa.check_name(name)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["payee"], reason=str(fault)) from fault
    return name


def _name(person: Person) -> str:
    return f"{person.given_name} {person.family_name}".strip() or "onbekend"
