"""Was no system called faster than agreed, does nothing wait, and was nothing given up without a reason?"""

import heapq
from collections import Counter, defaultdict
from datetime import datetime

from storm.evidence import Evidence, Row
from storm.findings import Bench

AT_ONCE = 8
"""Lanes of one system in one worker: so many may have noted when they begin, and then wait together for the
row that counts the calls; long, where the database is stopped meanwhile."""
NEVER = ("refuse",)
"""Faults after which a system has said 'never'; with the right status."""


def judge(evidence: Evidence, bench: Bench) -> None:
    _rates(evidence, bench)
    _nothing_waits(evidence, bench)
    _given_up_with_reason(evidence, bench)
    _lanes(evidence, bench)


def _rates(evidence: Evidence, bench: Bench) -> None:
    """In no window are there more attempts than its seconds times the rate, and the burst."""
    states = {one.name: one for one in evidence.rows("SELECT name, rate_per_second, burst FROM systemstate")}
    begun: dict[str, list[datetime]] = defaultdict(list)
    for one in evidence.rows("""
        SELECT f.system, a.started_at FROM attempt a JOIN effect f ON f.id = a.effect_id ORDER BY a.started_at
    """):
        begun[one.system].append(one.started_at)
    workers = next((int(one.get("workers") or 1) for one in evidence.journal.of("begun")), 1)
    for system, times in begun.items():
        bench.checked(f"calls to {system}", len(times))
        state = states.get(system)
        if state is None:
            bench.wrong("a system that was called without a rate", system)
            continue
        excess, at = _most_above(times, state.rate_per_second)
        if excess > state.burst + 1 + AT_ONCE * workers:
            bench.wrong("called faster than agreed", system, above=round(excess), burst=state.burst, at=at)


def _most_above(times: list[datetime], rate: float) -> tuple[float, datetime | None]:
    """Of all windows, the most calls above its seconds times the rate; and where that window ends."""
    least, most, where = float("inf"), 0.0, None
    for number, one in enumerate(times):
        at = one.timestamp() * rate
        least = min(least, number - at)
        above = number + 1 - at - least
        if above > most:
            most, where = above, one
    return most, where


def _nothing_waits(evidence: Evidence, bench: Bench) -> None:
    """After the quiet each effect is done, or was skipped or parked; those of later wait for their day."""
    now = evidence.now
    states = Counter(one.state for one in evidence.effects.values())
    for state in ("DONE", "SKIPPED", "PENDING", "PARKED", "IN_DOUBT"):
        bench.checked(f"effects {state}", states[state])
    parked = {one.lane for one in evidence.effects.values() if one.state in ("PARKED", "IN_DOUBT")}
    for one in evidence.effects.values():
        later = one.attempts == 0 and one.retry_at is not None and one.retry_at > now
        if one.state == "PENDING" and not later:
            bench.wrong(
                "an effect that still waits", evidence.name(one.case_id), kind=one.kind,
                attempts=one.attempts, behind_a_parked_one=one.lane in parked, error=one.last_error,
            )  # fmt: skip
        if one.state == "IN_DOUBT":
            bench.wrong("an effect in doubt", evidence.name(one.case_id), kind=one.kind, error=one.last_error)


def _given_up_with_reason(evidence: Evidence, bench: Bench) -> None:
    """A system's 'never' is a reason to park; 'not now' is none: for that there are two days."""
    refused = [
        (one.get("system"), one.at, one.get("seconds") or 0)
        for one in evidence.journal.blows("spoil")
        if (one.get("fault") or {}).get("mode") in NEVER
    ]
    ended = evidence.rows("""
        SELECT a.effect_id, a.ended_at, a.error, f.kind, f.case_id, f.system, f.state
          FROM attempt a JOIN effect f ON f.id = a.effect_id WHERE a.outcome IN ('PARKED', 'IN_DOUBT')
    """)
    bench.checked("effects that were ever parked", len({one.effect_id for one in ended}))
    for one in ended:
        told = [
            system for system, at, seconds in refused
            if _is_of(system, one.system) and abs((one.ended_at - at).total_seconds()) < seconds + 60
        ]  # fmt: skip
        if not told and not _is_final(one):
            bench.wrong(
                "parked for what might pass", evidence.name(one.case_id), kind=one.kind, error=one.error[:150]
            )
        elif one.state == "PARKED":
            bench.checked("effects that stay parked, by a true refusal")


SANDBOX_NAMES = {"mbp": "notificaties", "email": "smtp", "payments": "worldline"}


def _is_of(sandbox: str, system: str) -> bool:
    # without a token nothing can be sent to the systems behind the directory
    behind = ("dosis", "mbp", "ebox")
    return sandbox == SANDBOX_NAMES.get(system, system) or (sandbox == "acmidm" and system in behind)


def _is_final(attempt: Row) -> bool:
    """What is refused for its content stays so; what could not be reached may be reached later."""
    passing = ("no answer", "timed out", "timeout", "503", "unavailable", "connect", "our own fault", "lost")
    return bool(attempt.error) and not any(word in attempt.error.lower() for word in passing)


def _lanes(evidence: Evidence, bench: Bench) -> None:
    """No lane is left in the hands of somebody who is gone; none that has work is forgotten."""
    found = evidence.rows("""
        SELECT l.key, l.system, l.token, l.due_at,
               EXISTS (SELECT FROM effect f WHERE f.lane = l.key AND f.state = 'PENDING') AS waits
          FROM lane l
    """)
    bench.checked("lanes that are left", len(found))
    for one in found:
        if (
            one.token is not None
            and one.due_at is not None
            and (evidence.now - one.due_at).total_seconds() > 60
        ):
            bench.wrong("a lane in dead hands", one.key, system=one.system, due=one.due_at)
    lost = evidence.rows("""
        SELECT f.lane, f.system, f.case_id FROM effect f
         WHERE f.state = 'PENDING' AND NOT EXISTS (SELECT FROM lane l WHERE l.key = f.lane)
    """)
    for one in heapq.nsmallest(100, lost, key=lambda row: row.lane):
        bench.wrong("an effect that nobody will look at", evidence.name(one.case_id), system=one.system)
