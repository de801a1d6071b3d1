"""Comparing what DOSIS was told of cases with what became of it there, page by page.

DOSIS tells senders nothing of what it shows, only whether it could process what they sent (its `resultaten`).
So a status is there when our own receipt says that it was taken and DOSIS says that it was processed.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from loket import elsewhere, reconciliation
from loket.app import Loket
from loket.lifecycle import EventType
from loket.outcome import Done
from loket.reconciliation import Finding
from loket.records import DifferenceKind, Effect, EffectKind, EffectState, Reconciliation
from loket.terms import end_of
from loket.work import Work

PAGE = 100
SECONDS = 8.0
"""How long DOSIS is asked in one go: with one answer more it is well within a worker's lease."""
PROCESSED_WITHIN = timedelta(days=1)


async def page(loket: Loket, effect: Effect) -> Done:
    """Compare one page of cases; after the last page the run is done.

    Raises:
        Unavailable: DOSIS does not answer; the same page is asked again later.
        Declined: our token is not linked to the source.
    """
    run_id = UUID(effect.payload["reconciliation_id"])
    async with loket.database.transaction() as session:
        run = await session.get_one(Reconciliation, run_id)
        given = {
            "after": effect.payload.get("after") or str(UUID(int=0)),
            "since": end_of(run.starts_on - timedelta(days=1)),
            "most": PAGE,
        }
        cases = (await session.execute(LAST_TOLD, given)).all()
    findings: list[Finding] = []
    looked_at = 0
    ends_at = time.monotonic() + SECONDS
    for one in cases:
        if looked_at and time.monotonic() > ends_at:
            break
        findings += await _compared(loket, one)
        looked_at += 1

    async def write(work: Work) -> None:
        mine = await work.session.get_one(Reconciliation, run_id, with_for_update={"key_share": True})
        await reconciliation.note(work, mine, findings)
        mine.compared = {"cases": mine.compared.get("cases", 0) + looked_at}
        if len(cases) == PAGE or looked_at < len(cases):
            payload = {"reconciliation_id": str(run_id), "after": str(cases[looked_at - 1].case_id)}
            await work.leave(EffectKind.COMPARE_STATUSES, payload)
        else:
            await elsewhere.end(work, mine)

    return Done({"compared": looked_at, "differences": len(findings)}, write)


async def _compared(loket: Loket, one: Row[Any]) -> Sequence[Finding]:
    def finding(kind: DifferenceKind, **detail: object) -> list[Finding]:
        return [Finding(kind, one.case_id, one.case_id, detail=detail)]

    if one.effect_id is None:
        definition = loket.procedures[one.procedure_key, one.procedure_version]
        is_shown = EventType.SUBMITTED in definition.dosis and one.has_number
        return finding(DifferenceKind.STATUS_NOT_TOLD, state="NEVER") if is_shown else []
    if one.state == EffectState.PENDING:
        return []
    said = {"effect_id": str(one.effect_id), "code": one.code, "phase": one.phase}
    if one.state != EffectState.DONE:
        is_shown = one.has_number
        return finding(DifferenceKind.STATUS_NOT_TOLD, **said, state=one.state) if is_shown else []
    result = await loket.systems.dosis.result(one.effect_id)
    if result is None:
        late = one.done_at < datetime.now(UTC) - PROCESSED_WITHIN
        return finding(DifferenceKind.STATUS_REFUSED, **said, faults=[]) if late else []
    if not result.succeeded:
        return finding(DifferenceKind.STATUS_REFUSED, **said, faults=list(result.faults))
    return []


LAST_TOLD = text("""
    SELECT c.id AS case_id, c.procedure_key, c.procedure_version, p.insz_sealed IS NOT NULL AS has_number,
           last.id AS effect_id, last.state, last.done_at, last.payload ->> 'code' AS code,
           last.payload ->> 'phase' AS phase
      FROM "case" c JOIN person p ON p.id = c.person_id
      LEFT JOIN LATERAL (
           SELECT e.id, e.state, e.done_at, e.payload FROM everyeffect e
            WHERE e.case_id = c.id AND e.kind = 'DOSIS_STATUS' ORDER BY e.seq DESC LIMIT 1) AS last ON TRUE
     WHERE c.id > CAST(:after AS uuid)
       AND (c.updated_at >= :since OR EXISTS (
           SELECT FROM difference d
            WHERE d.case_id = c.id AND d.state = 'OPEN' AND d.kind IN ('STATUS_NOT_TOLD', 'STATUS_REFUSED')))
     ORDER BY c.id
     LIMIT :most
""")
