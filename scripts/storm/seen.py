"""Did each subscriber see every event of theirs once and in order, through all its connections?

What they should have seen is the event table in the order of the feed, from their first cursor on.
"""

import base64
from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import UUID

from storm.evidence import Evidence, Row, uuid_of
from storm.findings import Bench
from storm.ledger import Line

ADVISER = "LoketAdviseur"
Place = tuple[int, int]
"""Of an event on the feed: transaction and sequence."""


def judge(evidence: Evidence, bench: Bench) -> None:
    seen = evidence.journal.seen()
    connections: dict[str, list[Line]] = {}
    for one in evidence.journal.of("connected"):
        connections.setdefault(one["subscriber"], []).append(one)
    bench.checked("subscribers", len(connections))
    bench.checked("events that they saw", sum(map(len, seen.values())))
    bench.checked("times that they came back", sum(len(of) - 1 for of in connections.values()))
    if not connections:
        return
    feed = Feed.read(evidence)
    bench.checked("events on the feed", len(feed.every))
    for name, of in connections.items():
        _of_one(evidence, bench, name, of, seen.get(name, []), feed)


@dataclass(frozen=True)
class Feed:
    """All events in the order of the feed, and those of each case and person."""

    every: list[Row]
    of: dict[UUID, list[Row]]
    people: dict[str, set[UUID]]
    """Who is who: a persona's own cases are those that they were told of."""
    staff: dict[str, set[str] | None]
    """Of which departments somebody sees the cases; None: of all."""

    @classmethod
    def read(cls, evidence: Evidence) -> "Feed":
        every = evidence.rows("""
            SELECT e.xid::text::bigint AS xid, e.seq, e.id, e.case_id, e.person_id, e.case_version, e.type,
                   c.department_key, c.procedure_key
              FROM event e JOIN "case" c ON c.id = e.case_id ORDER BY e.xid, e.seq
        """)
        of: dict[UUID, list[Row]] = defaultdict(list)
        for one in every:
            of[one.case_id].append(one)
            of[one.person_id].append(one)
        people: dict[str, set[UUID]] = defaultdict(set)
        for told in evidence.journal.of("case"):
            case = evidence.references.get(told["reference"])
            if case is not None:
                people[told["who"]].add(case.person_id)
        staff: dict[str, set[str] | None] = {}
        for one in evidence.rows("SELECT lower(given_name) AS name, roles FROM staff"):
            keys = {role.partition("-")[2].lower() for role in one.roles if not role.startswith(ADVISER)}
            staff[one.name] = None if "" in keys else keys
        return cls(every, of, people, staff)

    def at_work(self, name: str, procedures: frozenset[str] | None) -> list[Row] | None:
        """What the work queue tells: what happens to cases of one's departments, not what others heard of it.

        `procedures`: whose cases these are, where the ledger says so.
        """
        if name not in self.staff:
            return None
        keys = self.staff[name]
        return [
            one
            for one in self.every
            if one.case_version is not None
            and (keys is None or one.department_key in keys)
            and (procedures is None or one.procedure_key in procedures)
        ]


def _of_one(
    evidence: Evidence,
    bench: Bench,
    name: str,
    connections: list[Line],
    seen: list[Line],
    feed: Feed,
) -> None:
    events = [one["event"] | {"id": uuid_of(one["event"]["id"])} for one in seen]
    for id, times in Counter(one["id"] for one in events).items():
        if times > 1:
            bench.wrong("an event that a subscriber saw twice", name, event=id, times=times)
    places = [place(one["cursor"]) for one in events]
    for before, after, one in zip(places, places[1:], events[1:], strict=False):
        if after <= before:
            bench.wrong(
                "an event out of order", name, event=one["id"], type=one["type"], before=before, at=after
            )
    first = connections[0].get("after")
    since = place(first) if first else (places[0] if places else None)
    if since is None:
        return
    due = _due(evidence, bench, name, connections[0], feed)
    if due is None:
        return
    if first:
        due = [one for one in due if (one.xid, one.seq) > since]
    else:
        # who came without a cursor saw what was new then; from its first event on nothing may lack
        due = [one for one in due if (one.xid, one.seq) >= since]
    bench.checked("events that they should have seen", len(due))
    have = {one["id"] for one in events}
    lacking = [one for one in due if one.id not in have]
    if lacking:
        bench.wrong(
            "events that a subscriber never saw", name, about=connections[0]["about"], number=len(lacking),
            of=len(due), first=f"{lacking[0].type} {evidence.name(lacking[0].case_id)}",
        )  # fmt: skip
    strange = have - {one.id for one in due}
    if strange:
        told = {one.id: one for one in feed.every}
        other = [told[id].type if id in told else "an event that is not there" for id in strange]
        bench.wrong("events that were not theirs", name, number=len(strange), first=other[0])


def _due(evidence: Evidence, bench: Bench, name: str, connected: Line, feed: Feed) -> list[Row] | None:
    """The events of whom a subscriber follows; None where the ledger does not say who that is."""
    about: str = connected["about"]
    kind, _, whom = about.partition(" ")
    if kind == "staff":
        sees = connected.get("sees")
        return feed.at_work(whom, frozenset(sees) if sees is not None else None)
    if kind == "case":
        case = evidence.references.get(whom)
        if case is None:
            bench.wrong("a subscriber to a case that is not there", name, about=about)
            return None
        return feed.of.get(case.id, [])
    own = feed.people.get(whom)
    if not own:
        bench.checked("subscribers of whom nothing is known")
        return None
    return sorted(
        (one for person in own for one in feed.of.get(person, [])), key=lambda one: (one.xid, one.seq)
    )


def place(cursor: str) -> Place:
    padded = cursor + "=" * (-len(cursor) % 4)
    _, xid, seq = base64.urlsafe_b64decode(padded).decode().split(".")
    return int(xid), int(seq)
