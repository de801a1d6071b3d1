"""The four operations: what is asked of Loket, of PostGraphile and of the floor, by whom, about what.

The three give the same facts (`gist` tells). Loket and the floor answer the very same JSON to the same caller
and no more than that caller may see; PostGraphile knows no caller here and checks nothing, which is to its
advantage.
"""

# ruff: noqa: S608  # SQL is put together from parts of this file alone

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmark.load import Request
from benchmark.town import Caller, Town
from loket.ids import encode_id, read_id

SAMPLE = 2_000
"""Different requests of one operation; each round sends them in random order."""
QUEUES = ("AWAITING_DECISION", "AWAITING_PAYMENT", "AWAITING_SLOT", "AWAITING_DELIVERY")

Variables = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request: to Loket and the floor with `variables` and a token, to PostGraphile with `plain`."""

    caller: Caller
    variables: Variables
    plain: Variables
    released: bool = False


@dataclass(frozen=True)
class Operation:
    """`floor` is the one statement and the names of its parameters, `caller` being who asks."""

    key: str
    title: str
    loket: str
    postgraphile: str
    floor: str
    parameters: tuple[str, ...]
    asked: Callable[[Town], Iterator[Asked]]
    staff: bool = False
    """Only members of staff may ask it."""
    writes: bool = False
    loket_released: str = ""
    """For an operation that goes two ways by turns."""

    def to_loket(self, town: Town) -> list[Request]:
        return [
            Request(one.caller.token, _body(self._document(one), one.variables)) for one in self.asked(town)
        ]

    def to_postgraphile(self, town: Town) -> list[Request]:
        return [Request("", _body(self.postgraphile, one.plain)) for one in self.asked(town)]

    def to_floor(self, town: Town) -> list[Request]:
        """The document is sent as well, and not looked at: the same bytes come in."""
        return [
            Request(one.caller.token, _body(self._document(one), one.variables | one.plain))
            for one in self.asked(town)
        ]

    def _document(self, one: Asked) -> str:
        return self.loket_released if one.released else self.loket


def _body(document: str, variables: Variables) -> bytes:
    return json.dumps({"query": " ".join(document.split()), "variables": variables}).encode()


def gist(answer: object) -> list[str]:
    """The facts in an answer that all three name alike, in order."""
    if isinstance(answer, list):
        return [found for one in answer for found in gist(one)]
    if not isinstance(answer, dict):
        return []
    return [
        found
        for key, value in sorted(answer.items())
        for found in (
            [f"{key} {value}"] if key in {"reference", "type", "number", "version"} else gist(value)
        )
    ]


def key_of(caller: Caller) -> str:
    """The own id behind a global one."""
    found = read_id(caller.id)
    assert found is not None
    return str(found.key)


# --- SQL in the form that clients get ---------------------------------------------------------


def _id(kind: str, column: str) -> str:
    return f"translate(encode('{kind}:'::bytea || uuid_send({column}), 'base64'), E'+/=\\n', '-_')"


def _at(column: str) -> str:
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


def _eur(column: str) -> str:
    return f"json_build_object('amount', {column}::text, 'currency', 'EUR')"


def _name(t: str) -> str:
    return f"btrim({t}.given_name || ' ' || {t}.family_name)"


# --- one case ---------------------------------------------------------------------------------

ONE_CASE = """
query OneCase($reference: String!) {
  case(reference: $reference) {
    id reference status stage version submittedAt due overdue channel department outcome closedAt
    applicant { name }
    handler { id name }
    timeline(first: 50, orderBy: OLDEST) {
      nodes { id type status previousStatus stage occurredAt actor { kind name } }
    }
    invoice {
      id number status amount { amount currency } paid { amount currency } issuedOn dueOn
      lines { description quantity unitAmount amount }
    }
    delivery {
      id status startsAt endsAt deliveredAt address { street number postalCode city }
      items { product description quantity }
    }
  }
}
"""
ONE_CASE_POSTGRAPHILE = """
query OneCase($reference: String!) {
  case: caseByReference(reference: $reference) {
    id reference status stage version submittedAt dueOn overdue channel department outcome closedAt
    applicant: personByPersonId { givenName familyName }
    handler: staffByHandlerId { id givenName familyName }
    timeline: eventsByCaseId(first: 50, orderBy: [PRIMARY_KEY_ASC]) {
      nodes { id type status previousStatus stage occurredAt actorKind actorName }
    }
    invoice: invoicesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) {
      nodes { id number status amount paid issuedOn dueOn lines }
    }
    delivery: deliveriesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) {
      nodes { id status startsAt endsAt deliveredAt address items }
    }
  }
}
"""
ONE_CASE_FLOOR = f"""
SELECT json_build_object('case', (SELECT json_build_object(
  'id', {_id("Case", "c.id")}, 'reference', c.reference, 'status', c.status, 'stage', upper(c.stage),
  'version', c.version, 'submittedAt', {_at("c.submitted_at")}, 'due', c.due_on, 'overdue', c.overdue,
  'channel', c.channel, 'department', c.department, 'outcome', c.outcome, 'closedAt', {_at("c.closed_at")},
  'applicant', (SELECT json_build_object('name', {_name("p")}) FROM person p WHERE p.id = c.person_id),
  'handler', (SELECT json_build_object('id', {_id("StaffMember", "s.id")}, 'name', {_name("s")})
                FROM staff s WHERE s.id = c.handler_id),
  'timeline', json_build_object('nodes', (
     SELECT coalesce(json_agg(json_build_object(
              'id', {_id("CaseEvent", "e.id")}, 'type', e.type, 'status', e.status,
              'previousStatus', e.previous_status, 'stage', upper(e.stage),
              'occurredAt', {_at("e.occurred_at")},
              'actor', json_build_object('kind', e.actor_kind, 'name', e.actor_name))), '[]')
       FROM (SELECT * FROM event WHERE case_id = c.id AND case_version IS NOT NULL ORDER BY seq LIMIT 50) e)),
  'invoice', (SELECT json_build_object(
       'id', {_id("Invoice", "i.id")}, 'number', i.number, 'status', i.status, 'amount', {_eur("i.amount")},
       'paid', {_eur("i.paid")}, 'issuedOn', i.issued_on, 'dueOn', i.due_on,
       'lines', (SELECT json_agg(json_build_object(
                   'description', l ->> 'description', 'quantity', (l ->> 'quantity')::int,
                   'unitAmount', l ->> 'unit_amount', 'amount', l ->> 'amount'))
                 FROM jsonb_array_elements(i.lines) l))
       FROM invoice i WHERE i.case_id = c.id ORDER BY i.status = 'CREDITED', i.id DESC LIMIT 1),
  'delivery', (SELECT json_build_object(
       'id', {_id("Delivery", "d.id")}, 'status', d.status, 'startsAt', {_at("d.starts_at")},
       'endsAt', {_at("d.ends_at")}, 'deliveredAt', {_at("d.delivered_at")},
       'address', json_build_object('street', d.address ->> 'street', 'number', d.address ->> 'number',
                                    'postalCode', d.address ->> 'postal_code', 'city', d.address ->> 'city'),
       'items', (SELECT json_agg(json_build_object(
                   'product', l ->> 'product', 'description', l ->> 'description',
                   'quantity', (l ->> 'quantity')::int)) FROM jsonb_array_elements(d.items) l))
       FROM delivery d WHERE d.case_id = c.id ORDER BY d.round DESC LIMIT 1))
  FROM "case" c WHERE c.reference = $2 AND c.person_id = $1))
"""


def _one_case(town: Town) -> Iterator[Asked]:
    """A citizen looks at a case of their own."""
    found = _rows(town, 'SELECT reference, person_id FROM "case" WHERE person_id = ANY(%s)', [_keys(town)])
    callers = {key_of(one): one for one in town.regulars}
    for reference, person_id in _sample(found):
        variables = {"reference": reference}
        yield Asked(callers[str(person_id)], variables, variables)


# --- my cases ---------------------------------------------------------------------------------

MY_CASES = """
query MyCases($after: Cursor) {
  cases(first: 20, after: $after, orderBy: NEWEST) {
    nodes {
      id reference status stage version submittedAt due
      lastEvent { type occurredAt }
      invoice { number status amount { amount currency } dueOn }
      delivery { status startsAt endsAt }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
MY_CASES_POSTGRAPHILE = """
query MyCases($person: UUID!, $after: Cursor) {
  cases: allCases(first: 20, after: $after, condition: { personId: $person }, orderBy: [SUBMITTED_AT_DESC]) {
    nodes {
      id reference status stage version submittedAt dueOn
      lastEvent: eventsByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) { nodes { type occurredAt } }
      invoice: invoicesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) {
        nodes { number status amount dueOn }
      }
      delivery: deliveriesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) { nodes { status startsAt endsAt } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def _cursor(scope: str) -> str:
    """Loket's cursors by instant and key, checksum included: the floor gives the same answer."""
    at = "to_char(c.submitted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    payload = f"json_build_array({at}, c.id::text)::text"
    raw = f"convert_to(left(md5('{scope}' || {payload}), 8) || {payload}, 'UTF8')"
    return f"translate(encode({raw}, 'base64'), E'+/=\\n', '-_')"


def _page(row: str, cursor: str, where: str, order: str, size: int) -> str:
    return f"""
SELECT json_build_object('cases', (SELECT json_build_object(
  'nodes', coalesce(json_agg(c.made) FILTER (WHERE c.place <= {size}), '[]'),
  'pageInfo', json_build_object('hasNextPage', count(*) > {size},
     'endCursor', max(c.cursor) FILTER (WHERE c.place = least(c.fetched, {size}))))
  FROM (SELECT CASE WHEN c.place <= {size} THEN {row} END AS made, c.place, c.fetched,
               CASE WHEN c.place = least(c.fetched, {size}) THEN {cursor} END AS cursor
          FROM (SELECT c.*, row_number() OVER () AS place, count(*) OVER () AS fetched
                  FROM (SELECT * FROM "case" WHERE {where} ORDER BY {order} LIMIT {size + 1}) c) c) c))
"""


_LAST_EVENT = f"""(SELECT json_build_object('type', e.type, 'occurredAt', {_at("e.occurred_at")})
  FROM event e WHERE e.case_id = c.id AND e.case_version IS NOT NULL ORDER BY e.seq DESC LIMIT 1)"""
_INVOICE = f"""(SELECT json_build_object('number', i.number, 'status', i.status, 'amount', {_eur("i.amount")},
                                       'dueOn', i.due_on)
  FROM invoice i WHERE i.case_id = c.id ORDER BY i.status = 'CREDITED', i.id DESC LIMIT 1)"""
_DELIVERY = f"""(SELECT json_build_object('status', d.status, 'startsAt', {_at("d.starts_at")},
                                        'endsAt', {_at("d.ends_at")})
  FROM delivery d WHERE d.case_id = c.id ORDER BY d.round DESC LIMIT 1)"""

MY_CASES_FLOOR = _page(
    f"""json_build_object(
      'id', {_id("Case", "c.id")}, 'reference', c.reference, 'status', c.status, 'stage', upper(c.stage),
      'version', c.version, 'submittedAt', {_at("c.submitted_at")}, 'due', c.due_on,
      'lastEvent', {_LAST_EVENT}, 'invoice', {_INVOICE}, 'delivery', {_DELIVERY})""",
    _cursor("Query.cases.NEWEST"),
    "person_id = $1",
    "submitted_at DESC, id DESC",
    20,
)


def _my_cases(town: Town) -> Iterator[Asked]:
    for caller in town.regulars:
        yield Asked(caller, {}, {"person": key_of(caller)})


# --- the work queue ---------------------------------------------------------------------------

QUEUE = """
query WorkQueue($status: [CaseStatus!]!) {
  cases(first: 50, filter: { status: $status }, orderBy: OLDEST) {
    nodes {
      id reference status stage version submittedAt due overdue
      applicant { name }
      handler { id name }
      lastEvent { type occurredAt }
      invoice { number status amount { amount currency } dueOn }
      delivery { status startsAt endsAt }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
QUEUE_POSTGRAPHILE = """
query WorkQueue($one: String!) {
  cases: allCases(first: 50, condition: { status: $one }, orderBy: [SUBMITTED_AT_ASC]) {
    nodes {
      id reference status stage version submittedAt dueOn overdue
      applicant: personByPersonId { givenName familyName }
      handler: staffByHandlerId { id givenName familyName }
      lastEvent: eventsByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) { nodes { type occurredAt } }
      invoice: invoicesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) {
        nodes { number status amount dueOn }
      }
      delivery: deliveriesByCaseId(first: 1, orderBy: [PRIMARY_KEY_DESC]) { nodes { status startsAt endsAt } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
QUEUE_FLOOR = _page(
    f"""json_build_object(
      'id', {_id("Case", "c.id")}, 'reference', c.reference, 'status', c.status, 'stage', upper(c.stage),
      'version', c.version, 'submittedAt', {_at("c.submitted_at")}, 'due', c.due_on, 'overdue', c.overdue,
      'applicant', (SELECT json_build_object('name', {_name("p")}) FROM person p WHERE p.id = c.person_id),
      'handler', (SELECT json_build_object('id', {_id("StaffMember", "s.id")}, 'name', {_name("s")})
                    FROM staff s WHERE s.id = c.handler_id),
      'lastEvent', {_LAST_EVENT}, 'invoice', {_INVOICE}, 'delivery', {_DELIVERY})""",
    _cursor("Query.cases.OLDEST"),
    "status = $1",
    "submitted_at, id",
    50,
)


def _queue(town: Town) -> Iterator[Asked]:
    for status in QUEUES:
        yield Asked(town.handler, {"status": [status]}, {"one": status})


# --- a transition -----------------------------------------------------------------------------

_CASE_AFTER = "errors { message code } case { id status version updated: submittedAt handler { id name } }"
ASSIGN = f"mutation Assign($id: ID!) {{ moved: caseAssign(id: $id) {{ {_CASE_AFTER} }} }}"
RELEASE = f"mutation Release($id: ID!) {{ moved: caseRelease(id: $id) {{ {_CASE_AFTER} }} }}"
ASSIGN_POSTGRAPHILE = """
mutation Assign($case: UUID!, $staff: UUID, $by: UUID!, $name: String!) {
  moved: caseAssign(input: { caseId: $case, staffId: $staff, byId: $by, byName: $name }) {
    case: result { id status version submittedAt handler: staffByHandlerId { id givenName familyName } }
  }
}
"""
ASSIGN_FLOOR = f"""
SELECT json_build_object('moved', json_build_object('errors', json_build_array(), 'case', (
  SELECT json_build_object('id', {_id("Case", "c.id")}, 'status', c.status, 'version', c.version,
    'updated', {_at("c.submitted_at")},
    'handler', (SELECT json_build_object('id', {_id("StaffMember", "s.id")}, 'name', {_name("s")})
                  FROM staff s WHERE s.id = c.handler_id))
  FROM case_assign($1, $2, $3, $4) AS c WHERE c.id IS NOT NULL)))
"""


def _assign(town: Town) -> Iterator[Asked]:
    """A handler takes open cases on, and gives them back."""
    mine = key_of(town.handler)
    found = _rows(town, 'SELECT id FROM "case" WHERE closed_at IS NULL', [])
    for number, (case_id,) in enumerate(_sample(found)):
        released = number % 2 == 1
        plain = {"case": str(case_id), "staff": None if released else mine, "by": mine, "name": "Hilde"}
        yield Asked(town.handler, {"id": encode_id("Case", case_id)}, plain, released)


OPERATIONS = (
    Operation(
        "case", "one case with timeline, invoice, delivery",
        ONE_CASE, ONE_CASE_POSTGRAPHILE, ONE_CASE_FLOOR, ("caller", "reference"), _one_case,
    ),
    Operation(
        "mine", "my cases, 20",
        MY_CASES, MY_CASES_POSTGRAPHILE, MY_CASES_FLOOR, ("caller",), _my_cases,
    ),
    Operation(
        "queue", "work queue, 50",
        QUEUE, QUEUE_POSTGRAPHILE, QUEUE_FLOOR, ("one",), _queue, staff=True,
    ),
    Operation(
        "assign", "a transition: take a case on, give it back",
        ASSIGN, ASSIGN_POSTGRAPHILE, ASSIGN_FLOOR, ("case", "staff", "caller", "name"), _assign,
        staff=True, writes=True, loket_released=RELEASE,
    ),
)  # fmt: skip


# --- parts ------------------------------------------------------------------------------------


def _keys(town: Town) -> list[str]:
    return [key_of(one) for one in town.regulars]


def _rows(town: Town, query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with psycopg.connect(town.database_url) as connection:
        return connection.execute(query, parameters).fetchall()


def _sample(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same ones at every run."""
    return random.Random(2026).sample(sorted(rows), min(SAMPLE, len(rows)))
