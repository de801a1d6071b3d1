"""What each event must lead to, reckoned anew from the published definition: a status at DOSIS, messages.

Independent of Loket's own reckoning on purpose: of a file it knows `dosis`, `messages`, `joins`, `replaces`.
"""

from collections import defaultdict
from itertools import groupby
from typing import Any
from uuid import UUID

from storm.evidence import Evidence, Row
from storm.findings import Bench

Json = dict[str, Any]

FINAL = frozenset({"INADMISSIBLE", "REJECTED", "COMPLETED", "WITHDRAWN", "CANCELLED"})
GOES_ON = frozenset({"COMPLETED", "VALIDITY_ENDING", "VALIDITY_ENDED", "RENEWAL_OFFERED"})
"""What DOSIS still hears of an ended case."""
OF_ANOTHER = frozenset({"CO_APPLICANT_ASKED", "CO_APPLICANT_REMINDED"})
"""Told to the co-applicant, apart from what is told to the applicant."""
ALL_CHANNELS = ("MBP", "EMAIL", "SMS")


def judge(evidence: Evidence, bench: Bench) -> None:
    statuses: dict[UUID, list[Row]] = defaultdict(list)
    for one in evidence.effects_of("DOSIS_STATUS"):
        statuses[one.case_id].append(one)
    resent = {one.id for one in evidence.effects.values() if one.resend_of is not None}
    written: dict[UUID, dict[tuple[int, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for one in evidence.rows(
        "SELECT id, case_id, event_seq, about, channel, effect_id, legal_value FROM message"
    ):
        if one.effect_id not in resent and not one.legal_value:
            written[one.case_id][one.event_seq, one.about].append(one)
    for case in evidence.cases.values():
        definition = evidence.definitions.get((case.procedure_key, case.procedure_version))
        if definition is None:
            bench.wrong("a case of a procedure that was never published", case.reference)
            continue
        works = _works(evidence.history.get(case.id, []))
        _statuses(bench, case, definition, works, statuses[case.id])
        _messages(bench, case, definition, works, written[case.id])


def _works(events: list[Row]) -> list[list[Row]]:
    """The events of each piece of work: those of one instant; without an invoice of nothing."""
    return [_heard(list(of)) for _, of in groupby(events, key=lambda one: one.occurred_at)]


def _heard(events: list[Row]) -> list[Row]:
    """A stage of payment that was passed as soon as it was entered asks for no money."""
    kept = []
    for at, one in enumerate(events):
        passed = one.type == "PAYMENT_DUE" and any(
            later.type == "STAGE_PASSED" and later.previous_status == "AWAITING_PAYMENT"
            for later in events[at:]
        )
        if not passed:
            kept.append(one)
    return kept


def _statuses(bench: Bench, case: Row, definition: Json, works: list[list[Row]], left: list[Row]) -> None:
    mapped = definition.get("dosis") or {}
    due = [(one.seq, mapped[one.type]["code"]) for events in works for one in events
           if one.type in mapped and not _is_epilogue(one)]  # fmt: skip
    bench.checked("statuses due", len(due))
    found = [(one.event_seq, one.payload["code"]) for one in left]
    if found == due:
        return
    missing, more = [one for one in due if one not in found], [one for one in found if one not in due]
    bench.wrong(
        "not the statuses for DOSIS that its events prescribe", case.reference,
        missing=missing[:5], more=more[:5], due=len(due), left=len(found),
    )  # fmt: skip


def _is_epilogue(one: Row) -> bool:
    return one.status in FINAL and one.previous_status == one.status and one.type not in GOES_ON


def _messages(
    bench: Bench,
    case: Row,
    definition: Json,
    works: list[list[Row]],
    written: dict[tuple[int, str], list[Row]],
) -> None:
    messages = definition["texts"]["messages"]
    due: dict[tuple[int, str], list[str]] = {}
    for events in works:
        types = [one.type for one in events if not one.data.get("draft")]
        own = _combined(messages, [one for one in types if one not in OF_ANOTHER])
        for about in own:
            cause = next(one for one in reversed(events) if one.type == about)
            due[cause.seq, about] = messages[about].get("channels") or list(ALL_CHANNELS)
        for one in events:
            if one.type in OF_ANOTHER:
                written.pop((one.seq, one.type), None)  # whom that reaches is the other's affair
    bench.checked("messages due", len(due))
    for key, channels in due.items():
        _over(bench, case, key[1], channels, [one.channel for one in written.get(key, [])])
    for seq, about in written.keys() - due.keys():
        bench.wrong("a message that no event asks for", case.reference, about=about, event=seq)


def _combined(messages: Json, types: list[str]) -> list[str]:
    """Of the events of one piece of work, those that are told by a message of their own."""
    told = [one for one in dict.fromkeys(types) if one in messages]
    replaced = {other for one in told for other in messages[one].get("replaces") or ()}
    carriers: set[str] = set()
    own = []
    for one in told:
        if one in replaced:
            continue
        if carriers & set(messages[one].get("joins") or ()):
            carriers.add(one)
            continue
        carriers.add(one)
        own.append(one)
    return own


def _over(bench: Bench, case: Row, about: str, channels: list[str], found: list[str]) -> None:
    """Each channel once: Mijn Burgerprofiel always, the others as the applicant wishes."""
    for channel in ("MBP", "EMAIL", "SMS", "LETTER"):
        if found.count(channel) > 1:
            bench.wrong("a message that was written twice", case.reference, about=about, channel=channel)
    wanted = {"MBP"} & set(channels)
    by_paper = case.by_letter or case.deceased_on is not None
    if case.by_email and not by_paper:
        wanted |= {"EMAIL"} & set(channels)
    if case.by_sms and not by_paper:
        wanted |= {"SMS"} & set(channels)
    for channel in wanted - set(found):
        bench.wrong("a message that was not written", case.reference, about=about, channel=channel)
