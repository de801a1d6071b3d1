"""The account that a premium goes to: sealed when it is given, another one asked when the bank refuses it."""

from datetime import timedelta

from loket import accounts, cases, payout_book, recoveries, sepa
from loket.errors import ErrorCode, Refused
from loket.lifecycle import Action, TimerKind
from loket.records import Application, Case, Payout
from loket.terms import end_of
from loket.work import Work, the_system

WRONG_ACCOUNT = frozenset({"AC01", "AC03", "AC04", "AC06", "AC13", "AC14", "BE01", "BE05", "RC01"})
"""ISO 20022 reasons that another account cures."""


def went_to(case: Case, payout: Payout) -> bool:
    """Whether a payout failed on the account that is known now."""
    account = case.facts.get("account") or {}
    return payout.status in payout_book.BACK and payout.iban_sealed.hex() == account.get("sealed")


def keep(work: Work, case: Case, application: Application) -> None:
    """Seal the account number of an application that is handed in; the answers keep its masked form."""
    definition = work.definition(case)
    given = accounts.given_in(definition, accounts.opened_in(definition, work.vault, application.answers))
    if not given.strip():
        return
    iban = sepa.check_iban(given)
    application.answers = accounts.with_account(definition, application.answers, sepa.masked_iban(iban))
    _set(work, case, iban)


def _set(work: Work, case: Case, iban: str) -> None:
    account = {"sealed": work.vault.seal(iban).hex(), "masked": sepa.masked_iban(iban)}
    case.facts = {**case.facts, "account": account}


async def correct(work: Work, case: Case, iban: str) -> None:
    """Another account of the applicant: after the bank refused the first, or before anything is ordered.

    Raises:
        Refused: VALIDATION for what is no IBAN of the SEPA zone; TRANSITION_NOT_ALLOWED outside of the
            payout, and while one is under way.
    """
    try:
        checked = sepa.check_iban(iban)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "iban"], reason=str(fault)) from fault
    if await payout_book.live(work, case) is not None:
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.CORRECT_ACCOUNT, data={"account": sepa.masked_iban(checked)})
    _set(work, case, checked)
    await work.disarm(TimerKind.ANSWER, TimerKind.ANSWER_REMINDER, case=case)
    await cases.complete_tasks(work, case, "PAYOUT_REJECTED", "PAYOUT_RETURNED", "ANSWER_LAPSED")
    decision = await payout_book.standing(work, case)
    if decision is not None:
        owed = await recoveries.owed(work, case, decision)
        await cases.open_task(work, case, "ORDER_PAYOUT", {"amount": str(owed)})


async def ask_another(work: Work, case: Case, payout: Payout) -> None:
    """Have the applicant give another account than that of a payout that failed."""
    answer_by = work.today + timedelta(days=work.definition(case).information.answer_within_days)
    reason = sepa.reason(payout.reason_code, "nl")
    data = {"account": payout.iban_masked, "answer_by": answer_by.isoformat(), "reasons": [reason]}
    await cases.advance(work.as_actor(the_system()), case, Action.ASK_ACCOUNT, data=data)
    await work.arm(TimerKind.ANSWER, end_of(answer_by), case=case)
