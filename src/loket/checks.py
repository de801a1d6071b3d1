"""Looking up at an authentic source whether a condition is met, without a handler (controle).

Of what the source says only yes or no is kept, its code and its reference: what `met` of the definition reads
(`rules.ANSWERS`) is never written down. Asking is done outside any transaction (`consultation`).
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import advice, assessment, cases, definition, entitlements, screening
from loket.errors import ErrorCode, Refused
from loket.facts import CHECKED_IN, facts_of
from loket.lifecycle import CHECK, FINAL, CheckStatus, EventType, PartAction, Stage
from loket.records import Case, Check, Document, Effect, EffectKind, EffectState
from loket.rules import Outcome, weigh
from loket.sources import FRESH
from loket.work import Work, the_system

CONDITION_UNKNOWN = "CONDITION_UNKNOWN"
"""It is not known whether this must be asked at all: so nothing is asked."""
ENDED = "CASE_ENDED"
_BEFORE_DECISION = frozenset({Stage.ASSESSMENT, Stage.DECISION})
_FAILED = "CHECK_FAILED"


@dataclass(frozen=True)
class Finding:
    """What a check came to. `subject_index`: keyed index of the national number that it was met for."""

    outcome: Outcome
    """REFER: a person must look."""
    code: str
    """The source's own word, or ours for what kept it from answering."""
    reference: str = ""
    subject_index: bytes | None = None


async def begin(work: Work, case: Case) -> None:
    """Ask all that the definition asks in this round, once the sources told lately who the applicant is."""
    if case.facts.get(CHECKED_IN) == case.round or not work.definition(case).checks:
        case.facts = {**case.facts, CHECKED_IN: case.round}
        return
    if await screening.sources_complete(work, case):
        await _ask_all(work, case)


async def sources_heard(work: Work, case: Case) -> None:
    """The sources that were asked first have answered, or never will: the checks begin."""
    if case.stage is Stage.ASSESSMENT and case.facts.get(CHECKED_IN) != case.round:
        await _ask_all(work, case)
        await assessment.go_on(work, case)


async def repeat(work: Work, case: Case, key: str) -> Check:
    """Ask again: a handler, a rule before a decision, and for what is UNKNOWN an operator.

    Raises:
        Refused: NOT_FOUND for a check that was not asked; TRANSITION_NOT_ALLOWED while it runs, once
            decided, and for others.
    """
    work = cases.acting(work, case)
    check = await get(work, case, key)
    _refuse_once_decided(work, case)
    cases.move(work, CHECK, check, PartAction.REPEAT)
    check.code, check.reference, check.subject_index = "", "", None
    check.document_id, check.replaced_by_id, check.remark = None, None, ""
    check.started_at, check.ended_at = work.now, None
    await _forget_parked(work, check)
    await _ask(work, case, check)
    await _settle_tasks(work, case)
    return check


async def replace_by_document(work: Work, case: Case, key: str, document_id: UUID, remark: str = "") -> Check:
    """A handler read the paper that shows what the source could not.

    Raises:
        Refused: NOT_FOUND for a check that was not asked, or a file that is not of this case; VALIDATION for
            a kind of document that the definition does not name for it; TRANSITION_NOT_ALLOWED.
    """
    check = await get(work, case, key)
    _refuse_once_decided(work, case)
    document = await work.session.get(Document, document_id)
    if document is None or document.case_id != case.id or document.stored_at is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "documentId"])
    spec = _spec(work, case, key)
    if document.kind not in spec.documents:
        kinds = ", ".join(spec.documents) or "-"
        raise Refused(ErrorCode.VALIDATION, path=["input", "documentId"], reason=f"{document.kind}: {kinds}")
    cases.move(work, CHECK, check, PartAction.REPLACE)
    check.document_id, check.replaced_by_id = document.id, work.actor.id
    check.remark = cases.said(remark, "remark") if remark.strip() else ""
    check.ended_at = work.now
    await cases.record(work, case, EventType.CHECK_REPLACED, data={"check": key})
    await _ended(work, case)
    return check


async def answered(work: Work, case: Case, key: str, round: int, finding: Finding) -> None:
    """What the source said; too late for a case that has ended, or a check that was settled otherwise."""
    check = await find(work, case, key)
    if check is None or check.round != round or not awaits(case, check):
        return
    if finding.outcome is Outcome.REFER:
        if check.status is CheckStatus.RUNNING:
            await _leave_unknown(work, case, check, finding.code, finding.reference)
            await _ended(work, case)
        return
    met = finding.outcome is Outcome.MET
    cases.move(work.as_actor(the_system()), CHECK, check, PartAction.MEET if met else PartAction.FAIL_TO_MEET)
    check.code, check.reference = finding.code[:200], finding.reference
    check.subject_index, check.ended_at = finding.subject_index if met else None, work.now
    data = {"check": key, "status": str(check.status), "code": check.code}
    await cases.record(work, case, EventType.CHECK_ANSWERED, data=data)
    await _ended(work, case)


async def given_up(work: Work, case: Case, key: str, round: int, code: str) -> None:
    """Nobody tries any longer: a person repeats it, or puts a document in its place."""
    await answered(work, case, key, round, Finding(Outcome.REFER, code))


async def stop(work: Work, case: Case) -> None:
    """The case has ended: nothing is awaited any more."""
    found = await work.session.scalars(
        select(Check).where(col(Check.case_id) == case.id, col(Check.status) == CheckStatus.RUNNING)
    )
    for check in found.all():
        cases.move(work.as_actor(the_system()), CHECK, check, PartAction.LEAVE_UNKNOWN)
        check.code, check.ended_at = ENDED, work.now


async def stale(work: Work, case: Case) -> list[str]:
    """The keys of those checks whose answer is older than `FRESH`: asked again before anything is decided.

    What was replaced by a document stays as it is, and what runs or failed is no answer.
    """
    return [
        check.kind
        for check in await of(work, case)
        if check.status in (CheckStatus.MET, CheckStatus.NOT_MET)
        and (check.ended_at is None or check.ended_at < work.now - FRESH)
    ]


async def refresh(work: Work, case: Case) -> bool:
    """Ask anew what is stale, the sources included; True when nothing was, and nothing is under way."""
    by_itself = work.as_actor(the_system())
    complete = await screening.sources_complete(by_itself, case)
    for key in await stale(work, case):
        await repeat(by_itself, case, key)
    return complete and all(check.status is not CheckStatus.RUNNING for check in await of(work, case))


# --- looking ----------------------------------------------------------------------------------


async def of(work: Work, case: Case) -> list[Check]:
    """Those of the round in which they were last begun, in the definition's order."""
    keys = [check.key for check in work.definition(case).checks]
    found = await work.session.scalars(
        select(Check).where(
            col(Check.case_id) == case.id,
            col(Check.round) == case.facts.get(CHECKED_IN),
            col(Check.kind).in_(keys),
        )
    )
    return sorted(found.all(), key=lambda check: keys.index(check.kind))


async def find(work: Work, case: Case, key: str) -> Check | None:
    return next((check for check in await of(work, case) if check.kind == key), None)


async def get(work: Work, case: Case, key: str) -> Check:
    """Raises `Refused` NOT_FOUND."""
    check = await find(work, case, key)
    if check is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["check"])
    return check


def awaits(case: Case, check: Check) -> bool:
    """Whether an answer still counts; one that came after all also of what was given up."""
    return case.status not in FINAL and check.status in (CheckStatus.RUNNING, CheckStatus.UNKNOWN)


# --- steps ------------------------------------------------------------------------------------


async def _ask_all(work: Work, case: Case) -> None:
    facts = await facts_of(work, case)
    case.facts = {**case.facts, CHECKED_IN: case.round}
    for spec in work.definition(case).checks:
        wanted = Outcome.MET if spec.when is None else weigh(spec.when, facts).outcome
        if wanted is Outcome.NOT_MET:
            continue
        check = Check(case_id=case.id, kind=spec.key, round=case.round, started_at=work.now)
        work.session.add(check)
        if wanted is Outcome.MET:
            await _ask(work, case, check)
        else:
            await _leave_unknown(work, case, check, CONDITION_UNKNOWN, "")
    await _settle_tasks(work, case)
    await advice.follow_checks(work, case)


async def _ask(work: Work, case: Case, check: Check) -> None:
    await cases.record(work, case, EventType.CHECK_STARTED, data={"check": check.kind})
    await work.leave(EffectKind.CHECK_ASK, {"check": check.kind, "round": check.round}, case=case)


async def _leave_unknown(work: Work, case: Case, check: Check, code: str, reference: str) -> None:
    cases.move(work.as_actor(the_system()), CHECK, check, PartAction.LEAVE_UNKNOWN)
    check.code, check.reference, check.ended_at = code[:200], reference, work.now
    await cases.record(work, case, EventType.CHECK_FAILED, data={"check": check.kind, "code": check.code})


async def _ended(work: Work, case: Case) -> None:
    """One check less is awaited."""
    await work.session.flush()
    await entitlements.claim(work, case)
    await _settle_tasks(work, case)
    await advice.follow_checks(work, case)
    await assessment.go_on(work, case)


async def _settle_tasks(work: Work, case: Case) -> None:
    """One task tells of all checks without an answer; with the last of them it is done."""
    failed = {check.kind: check.code for check in await of(work, case) if check.status is CheckStatus.UNKNOWN}
    if not failed:
        await cases.complete_tasks(work, case, _FAILED)
        return
    task = await cases.open_task(work.as_actor(the_system()), case, _FAILED)
    task.data = {"checks": failed}


async def _forget_parked(work: Work, check: Check) -> None:
    """What was parked is asked anew: nobody has to try the old one."""
    parked = await work.session.scalars(
        select(Effect).where(
            col(Effect.case_id) == check.case_id,
            col(Effect.kind) == EffectKind.CHECK_ASK,
            col(Effect.state) == EffectState.PARKED,
        )
    )
    for effect in parked.all():
        if effect.payload["check"] == check.kind:
            await work.wake_lane(effect.lane, effect.system)  # a worker clears it away
            effect.state, effect.done_at = EffectState.SKIPPED, work.now


def _refuse_once_decided(work: Work, case: Case) -> None:
    if case.status in FINAL or case.stage not in _BEFORE_DECISION:
        raise cases.not_allowed(work, case)


def _spec(work: Work, case: Case, key: str) -> definition.Check:
    found = work.definition(case).check(key)
    assert found is not None
    return found
