"""Is all that was promised there, and whole: cases, their history, what follows from it, numbers, answers."""

from collections import Counter, defaultdict
from itertools import pairwise
from uuid import UUID

from storm.evidence import Evidence, Row
from storm.findings import Bench


def judge(evidence: Evidence, bench: Bench) -> None:
    _histories(evidence, bench)
    _applications(evidence, bench)
    _effects_have_causes(evidence, bench)
    for part in PARTS:
        _part(evidence, bench, *part)
    _planning(evidence, bench)
    _numbers(evidence, bench)
    _references(evidence, bench)


# --- history ----------------------------------------------------------------------------------


def _histories(evidence: Evidence, bench: Bench) -> None:
    bench.checked("cases", len(evidence.cases))
    bench.checked("events", sum(map(len, evidence.history.values())))
    for case_id in evidence.history.keys() - evidence.cases.keys():
        bench.wrong("events without their case", case_id)
    for case in evidence.cases.values():
        events = evidence.history.get(case.id, [])
        versions = [one.case_version for one in events]
        if versions != list(range(1, case.version + 1)):
            missing = sorted(set(range(1, case.version + 1)) - set(versions))[:10]
            bench.wrong(
                "its versions are not its events", case.reference,
                version=case.version, events=len(events), missing=missing,
            )  # fmt: skip
        if not events:
            continue
        _folds(bench, case, events)


def _folds(bench: Bench, case: Row, events: list[Row]) -> None:
    """Status and stage are those of the last event, and each event goes on where the last one ended."""
    bench.unless(events[0].type == "SUBMITTED", "a history that does not begin with its submission",
                 case.reference, first=events[0].type)  # fmt: skip
    last = events[-1]
    if (case.stage, case.status) != (last.stage, last.status):
        bench.wrong(
            "the case is not where its history ends", case.reference,
            is_=f"{case.stage}/{case.status}", history=f"{last.stage}/{last.status}",
        )  # fmt: skip
    for before, after in pairwise(events):
        # `advance` writes where it came from; what is recorded changes no status
        if after.previous_status != before.status:
            bench.wrong(
                "an event that does not follow on the one before", case.reference,
                version=after.case_version, type=after.type, was=before.status, says=after.previous_status,
            )  # fmt: skip
        if (before.xid, before.seq) >= (after.xid, after.seq):
            bench.wrong(
                "events of a case not in order on the feed", case.reference, version=after.case_version
            )


def _applications(evidence: Evidence, bench: Bench) -> None:
    found = evidence.rows("""
        SELECT a.id, a.status, a.person_id, c.reference, c.person_id AS of_person
          FROM application a LEFT JOIN "case" c ON c.application_id = a.id
    """)
    bench.checked("applications", len(found))
    for one in found:
        if (one.status == "SUBMITTED") != (one.reference is not None):
            bench.wrong(
                "submitted without a case, or a case of a draft", one.reference or one.id, is_=one.status
            )
        if one.reference and one.person_id != one.of_person:
            bench.wrong("a case of another than who applied", one.reference)


# --- what follows from it ---------------------------------------------------------------------


def _effects_have_causes(evidence: Evidence, bench: Bench) -> None:
    effects = evidence.effects
    bench.checked("effects", len(effects))
    of_event = {one.seq: one for events in evidence.history.values() for one in events}
    for one in effects.values():
        name = evidence.name(one.case_id)
        if one.case_id is not None and one.case_id not in evidence.cases:
            bench.wrong("an effect of no case", one.id, kind=one.kind)
        if one.event_seq is not None:
            cause = of_event.get(one.event_seq)
            if cause is None or cause.case_id != one.case_id:
                bench.wrong("an effect without its event", name, kind=one.kind, effect=one.id)
        if one.lane != str(one.id) and one.lane != f"{one.case_id}:{one.system}":
            bench.wrong("an effect in a lane of another", name, kind=one.kind, lane=one.lane)
    _attempts(evidence, bench)
    ends = Counter(
        UUID(one.effect)
        for one in evidence.rows("SELECT data->>'effect' AS effect FROM event WHERE type = 'EFFECT_DONE'")
    )
    for id, times in ends.items():
        one = effects.get(id)
        if one is None:
            bench.wrong("an effect that was done and is not there", id)
        elif times > 1:
            bench.wrong(
                "an effect that was done twice", evidence.name(one.case_id), kind=one.kind, times=times
            )
    for one in effects.values():
        if one.state == "DONE" and one.case_id is not None and one.id not in ends:
            bench.wrong("an effect is done and no event says so", evidence.name(one.case_id), kind=one.kind)


def _attempts(evidence: Evidence, bench: Bench) -> None:
    """Each attempt is written down, numbered from 1, before it is made."""
    found = evidence.rows("""
        SELECT f.id, f.kind, f.state, f.case_id, f.attempts, count(a.id) AS rows, max(a.number) AS last,
               count(*) FILTER (WHERE a.outcome = 'DONE') AS done
          FROM effect f LEFT JOIN attempt a ON a.effect_id = f.id
         GROUP BY f.id
        HAVING f.attempts <> count(a.id) OR f.attempts <> coalesce(max(a.number), 0)
            OR (f.state = 'DONE' AND count(*) FILTER (WHERE a.outcome = 'DONE') = 0)
            OR count(*) FILTER (WHERE a.outcome = 'DONE') > 1
    """)
    (counted,) = evidence.rows("SELECT count(*) AS rows FROM attempt")
    bench.checked("attempts", counted.rows)
    for one in found:
        bench.wrong(
            "attempts that do not add up", evidence.name(one.case_id),
            kind=one.kind, state=one.state, said=one.attempts, rows=one.rows, last=one.last, done=one.done,
        )  # fmt: skip


# fmt: off
PARTS = (
    # what there is       table           which of it               told by             by its name      times
    ("invoices",         "invoice",      "true",                   "INVOICE_PDF",      "invoice_id",      1),
    ("credit notes",     "creditnote",   "true",                   "CREDIT_NOTE_PDF",  "credit_note_id",  0),
    ("letters",          "letter",       "true",                   "LETTER_PDF",       "letter_id",       1),
    ("agenda items",     "agendaitem",   "true",                   "MINUTES_CREATE",   "item_id",         1),
    ("approved payouts", "payout",       "approved_by_id NOTNULL", "PAYOUT_SEND",      "payout_id",       1),
    ("entries to tell",  "journalentry", "effect_id NOTNULL",      "ACCOUNTING_ENTRY", "entry_id",       -1),
    ("checks",           "event",        "type = 'CHECK_STARTED'", "CHECK_ASK",        "",                1),
)
# fmt: on
"""For each of these there is exactly one effect (0: one at most; -1: one or more) that names it; none names
what is not there. Where it has no name of its own, they are counted by case."""


def _part(
    evidence: Evidence, bench: Bench, what: str, table: str, where: str, kind: str, name: str, times: int
) -> None:
    column = "id" if name else "case_id"
    there = Counter(
        one.id
        for one in evidence.rows(f"SELECT {column} AS id FROM {table} WHERE {where}")  # noqa: S608  # ours
    )
    told: Counter[UUID] = Counter()
    cases: dict[UUID, str] = {}
    for one in evidence.effects_of(kind):
        id = UUID(one.payload[name]) if name else one.case_id
        told[id] += 1
        cases[id] = evidence.name(one.case_id)
        if id not in there:
            bench.wrong(f"{kind} of what is not there", cases[id], named=id)
    bench.checked(what, sum(there.values()))
    for id, number in there.items():
        least, most = {0: (0, number), -1: (1, told[id])}.get(times, (number, number))
        if not least <= told[id] <= most:
            bench.wrong(f"{what}: not the {kind} that is due", cases.get(id, id), due=number, left=told[id])


def _planning(evidence: Evidence, bench: Bench) -> None:
    """Each agreed slot is told to the planning tool, in the order in which it was agreed."""
    left = Counter(one.case_id for one in evidence.effects_of("PLANNING_BOOK"))
    agreed = {
        case_id: sum(one.type in ("PLANNED", "RESCHEDULED") for one in events)
        for case_id, events in evidence.history.items()
    }
    bench.checked("agreed slots", sum(agreed.values()))
    for case_id, times in agreed.items():
        if left[case_id] != times:
            bench.wrong(
                "slots: not the PLANNING_BOOK that is due",
                evidence.name(case_id),
                due=times,
                left=left[case_id],
            )


# --- numbers ----------------------------------------------------------------------------------


def _numbers(evidence: Evidence, bench: Bench) -> None:
    """Invoices and credit notes of a journal and year are 1, 2, 3 … up to the last that was given out."""
    given: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in evidence.rows("""
        SELECT journal, year, sequence, number FROM invoice
         UNION ALL SELECT journal, year, sequence, number FROM creditnote
    """):
        given[one.journal, one.year].append(one.sequence)
        bench.unless(
            one.number == f"{one.journal}-{one.year}-{one.sequence:06d}",
            "a number that is not its own",
            one.number,
        )
    references = evidence.rows("SELECT reference, number, year FROM invoice")
    for one in references:
        given["OGM", one.year].append(int(one.reference[2:10]))
        valid = int(one.reference[10:]) == (int(one.reference[:10]) % 97 or 97)
        bench.unless(valid, "a structured reference that checks false", one.number, reference=one.reference)
    journals = {(one.journal, one.year): one.last for one in evidence.rows("SELECT * FROM journal")}
    bench.checked("numbers", sum(map(len, given.values())))
    for key in given.keys() | journals.keys():
        numbers, last = sorted(given.get(key, [])), journals.get(key, 0)
        twice = sorted({one for one, times in Counter(numbers).items() if times > 1})
        gaps = sorted(set(range(1, last + 1)) - set(numbers))
        beyond = [one for one in numbers if one > last]
        if twice or gaps or beyond:
            bench.wrong(
                "numbers of a journal",
                f"{key[0]} {key[1]}",
                twice=twice[:9],
                gaps=gaps[:9],
                beyond=beyond[:9],
            )


def _references(evidence: Evidence, bench: Bench) -> None:
    """No name that others know us by is used for two things, here or outside."""
    names: Counter[tuple[str, str]] = Counter()
    for table, column in NAMES:
        named = f"{column} IS NOT NULL"
        found = evidence.rows(f'SELECT {column}::text AS name FROM "{table}" WHERE {named}')  # noqa: S608  # ours
        names.update((f"{table}.{column}", one.name) for one in found)
    bench.checked("names that others know", len(names))
    for (where, name), times in names.items():
        if times > 1:
            bench.wrong("a name used twice", name, where=where, times=times)
    outside: dict[str, set[str]] = defaultdict(set)
    for key, kind, journal, number in evidence.outside.parts(
        "accounting", "entry", "entry.type", "entry.journal", "entry.number"
    ):
        if kind in ("INVOICE", "CREDIT_NOTE"):
            outside[f"{journal} {number}"].add(key)
    for number, entries in outside.items():
        bench.unless(len(entries) == 1, "a number that accounting has twice", number, entries=sorted(entries))


NAMES = (
    ("case", "reference"), ("case", "application_id"), ("invoice", "number"), ("invoice", "reference"),
    ("creditnote", "number"), ("payment", "checkout_id"), ("letter", "registered_number"),
    ("letter", "message_id"), ("agendaitem", "external_identifier"), ("agendaitem", "item_uid"),
    ("message", "effect_id"),
)  # fmt: skip
