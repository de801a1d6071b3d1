"""Staff who open a case are written down: its citizen sees who looked (`Viewer.accessLog`).

A page of a list is no look at one person. What is asked by its reference, number or id is, and so is
following one case, searching by a name or a reference, and going on with a draft of the counter. Looking
again within ten minutes is the same look.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    get_argument_values,
)

from loket.api import selections
from loket.api.context import Caller, Scope, back_office, counter
from loket.api.documents import Document
from loket.api.engine import Answer, Running
from loket.api.live import LiveSchema, Opened
from loket.api.mapping import table_name
from loket.api.reads import LARGEST_PAGE
from loket.api.rendering import plain
from loket.api.visibility import of_all_books, of_cases
from loket.ids import read_id

_WRITE = """
    INSERT INTO accesslog
           (id, person_id, at, actor_kind, actor_name, service, purpose, reference, outcome, case_id)
    SELECT gen_random_uuid(), looked.person_id, now(), %(kind)s::text, %(name)s::text, 'loket',
           looked.purpose, '', 'READ', looked.case_id
      FROM (SELECT DISTINCT * FROM ({looked}) AS every (person_id, purpose, case_id)) AS looked
     WHERE NOT EXISTS (SELECT FROM accesslog AS before
                        WHERE before.person_id = looked.person_id
                          AND before.case_id IS NOT DISTINCT FROM looked.case_id
                          AND before.service = 'loket'
                          AND before.actor_name = %(name)s::text
                          AND before.at > now() - interval '10 minutes')
"""
_BY_WORD = """
    SELECT t.person_id, t.procedure_key, t.id FROM "case" t
     WHERE t.reference = ANY(%(words)s::text[]) AND {case}
     UNION ALL
    SELECT t.person_id, c.procedure_key, c.id FROM invoice t JOIN "case" c ON c.id = t.case_id
     WHERE (t.number = ANY(%(words)s::text[]) OR t.reference = ANY(%(words)s::text[])) AND {invoice}
"""
_OF_ENTRIES = """
    SELECT c.person_id, c.procedure_key, c.id
      FROM bankentry t LEFT JOIN payment p ON p.id = t.payment_id LEFT JOIN payout o ON o.id = t.payout_id
      JOIN "case" c ON c.id = coalesce(p.case_id, o.case_id)"""
"""Of whom a movement on the account is, once it is matched."""
_BY_ID = """
    SELECT t.person_id, t.procedure_key, t.id FROM "case" t WHERE t.id = ANY(%(ids)s::uuid[]) AND {case}
     UNION ALL
    SELECT t.id, '', NULL FROM person t WHERE t.id = ANY(%(ids)s::uuid[]) AND {person}
     UNION ALL
    SELECT t.person_id, t.procedure_key, c.id FROM application t LEFT JOIN "case" c ON c.application_id = t.id
     WHERE t.id = ANY(%(ids)s::uuid[]) AND {application}
     UNION ALL
    SELECT a.person_id, a.procedure_key, NULL FROM application a JOIN document t ON t.application_id = a.id
     WHERE t.case_id IS NULL AND t.id = ANY(%(ids)s::uuid[]) AND {document}
"""
_BY_ENTRY = f" UNION ALL {_OF_ENTRIES} WHERE t.id = ANY(%(ids)s::uuid[]) AND {{bankentry}}"
_PART = """
     UNION ALL
    SELECT c.person_id, c.procedure_key, c.id FROM {table} t JOIN "case" c ON c.id = t.case_id
     WHERE t.id = ANY(%(ids)s::uuid[]) AND {policy}
"""
"""Whoever reads what hangs on a case reads of its citizen."""
_BY_DRAFT = """
    SELECT t.person_id, t.procedure_key, c.id FROM application t LEFT JOIN "case" c ON c.application_id = t.id
     WHERE t.id = ANY(%(drafts)s::uuid[]) AND {application}
"""
_SEARCHED = {
    "CaseFilter": 'SELECT t.person_id, t.procedure_key, t.id FROM "case" t',
    "BankEntryFilter": _OF_ENTRIES,
}
_SEARCHES = {
    "cases": ("CaseFilter", of_cases, frozenset({"search", "reference", "applicantName"})),
    "bankEntries": ("BankEntryFilter", of_all_books, frozenset({"text", "reference"})),
}
"""Of a list its filter, its policy, and the conditions that name somebody."""


@dataclass
class _Looks:
    """What was asked for by name: references and numbers, and keys of rows."""

    words: list[str] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)
    drafts: list[UUID] = field(default_factory=list)
    searches: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, *ids: str) -> None:
        found = [read_id(one) for one in ids]
        self.ids += [one.key for one in found if one is not None and isinstance(one.key, UUID)]


@dataclass(frozen=True)
class _Statements:
    """What writes down the looks of viewers of one scope."""

    by_word: str
    by_id: str
    by_draft: str


_NAMES = (
    *("actor_id", "advises", "advises_for", "at_the_counter", "bodies", "departments", "keeps_books_of"),
    *("operates", "with_documents"),
)
"""What policies ask of a viewer, beside who it is."""
_VALUES = SimpleNamespace(**{name: f"%({name})s" for name in ("kind", "person_id", "staff_id", *_NAMES)})


def _values(viewer: Caller) -> dict[str, Any]:
    return {name: getattr(viewer, name) for name in ("person_id", "staff_id", *_NAMES)}


class LoggedSchema(LiveSchema):
    """The schema, with the duty to log what staff read."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401  # the engine's
        super().__init__(*positional, **named)
        self._by_scope: dict[Scope, _Statements] = {}

    async def _answer(self, running: Running, *positional: Any, **named: Any) -> Answer:  # noqa: ANN401  # the engine's
        await self._log(running)
        return await super()._answer(running, *positional, **named)

    async def open(
        self,
        document: Document,
        *,
        context: Any,  # noqa: ANN401  # our context
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> Opened | Answer:
        started = self.start(document, context, variables, operation_name)
        async with context.loket.feed.openings:
            if not isinstance(started, Answer):
                await self._log(started[0])
            return await super().open(
                document, context=context, variables=variables, operation_name=operation_name
            )

    async def _log(self, running: Running) -> None:
        context = running.context
        if not back_office(context.viewer.scope):
            return
        looks = _Looks()
        for name, given in self._asked(running):
            filter: dict[str, Any] = given.get("filter") or {}
            if name in {"case", "caseEvents"}:
                looks.words.append(given["reference"])
            elif name == "invoice":
                looks.words.append(given["number"])
            elif name == "invoices" and filter.get("reference"):
                looks.words.append(filter["reference"])
            elif name in _SEARCHES and any(filter.get(one) for one in _SEARCHES[name][2]):
                looks.searches.append((name, filter))
            elif name in {"node", "nodes"}:
                looks.add(*given.get("ids", [given.get("id", "")]))
            elif name == "tasks" and filter.get("case"):
                looks.add(filter["case"])
            elif name.startswith("application") and given.get("id") and counter(context.viewer.scope):
                draft = read_id(given["id"])  # to read, or to go on with
                if draft is not None and draft.kind == "Application" and isinstance(draft.key, UUID):
                    looks.drafts.append(draft.key)
        await self._write(looks, context)

    async def _write(self, looks: _Looks, context: Any) -> None:  # noqa: ANN401  # our context
        if not (looks.words or looks.ids or looks.drafts or looks.searches):
            return
        viewer: Caller = context.viewer
        statements = self._of_scope(viewer.scope)
        given = _values(viewer) | {"kind": viewer.kind, "name": viewer.actor.name if viewer.actor else ""}
        given |= {"words": looks.words, "ids": looks.ids, "drafts": looks.drafts}
        async with context.loket.database.reader() as connection:
            if looks.words:
                await connection.execute(statements.by_word, given)
            if looks.ids:
                await connection.execute(statements.by_id, given)
            if looks.drafts:
                await connection.execute(statements.by_draft, given)
            for name, filter in looks.searches:
                looked, values = self._searched(name, filter, viewer)
                await connection.execute(_WRITE.format(looked=looked), given | values)

    def _of_scope(self, scope: Scope) -> "_Statements":
        """Only what the rows' own policies let this viewer see is a look."""
        if scope not in self._by_scope:
            shown = {
                one.table.name: (one.table, f"({one.policy(scope).format(t='t', viewer=_VALUES)})")
                for one in self.map.entities.values()
                if one.table is not None
            }
            seen = {name: policy for name, (_, policy) in shown.items()}
            parts = [
                _PART.format(table=table_name(table), policy=policy)
                for table, policy in shown.values()
                if "case_id" in table.c and "id" in table.c
            ]
            self._by_scope[scope] = _Statements(
                by_word=_WRITE.format(looked=_BY_WORD.format_map(seen)),
                by_id=_WRITE.format(looked=(_BY_ID + _BY_ENTRY).format_map(seen) + "".join(parts)),
                by_draft=_WRITE.format(looked=_BY_DRAFT.format_map(seen)),
            )
        return self._by_scope[scope]

    def _searched(
        self, list_name: str, filter: Mapping[str, Any], viewer: Caller
    ) -> tuple[str, dict[str, Any]]:
        """Whose cases, or money, a search finds: as the list itself finds them."""
        kind, policy, _ = _SEARCHES[list_name]
        values: dict[str, Any] = {}
        conditions = [policy(viewer.scope).format(t="t", viewer=_VALUES)]
        known = self.map.filters[kind]
        for number, (name, given) in enumerate(filter.items()):
            if given is None:
                continue
            wanted = _key(given, known[name].by_id) if known[name].by_id else plain(given)
            values[f"given{number}"] = wanted
            conditions.append(known[name].sql.format(t="t", value=f"%(given{number})s", viewer=_VALUES))
        where = " AND ".join(conditions)
        return f"{_SEARCHED[kind]} WHERE {where} LIMIT {LARGEST_PAGE}", values

    def _asked(self, running: Running) -> Iterator[tuple[str, dict[str, Any]]]:
        """The root fields that are really read, wherever in the document they stand, with their arguments."""
        root = cast("GraphQLObjectType", self._schema.get_root_type(running.operation.kind))
        selected = selections.Document(running.document.fragments, running.flags).collect(
            self._schema, root, [running.operation.node.selection_set]
        )
        for nodes in selected.values():
            node: FieldNode = nodes[0]
            definition = root.fields.get(node.name.value)
            mapped = self.map.fields.get((root.name, node.name.value))
            allowed = mapped.source.allowed if mapped is not None else None
            if allowed is not None and not allowed(running.context.viewer.scope):
                continue
            if definition is not None and definition.args:
                try:
                    yield node.name.value, get_argument_values(definition, node, running.variables)
                except GraphQLError:
                    continue  # refused before anything is read


def _key(id: str, kind: str | None) -> UUID | None:
    """None for an id that names nothing of this kind: then nothing is found."""
    found = read_id(id)
    same = found is not None and found.kind == kind and isinstance(found.key, UUID)
    return cast("UUID", found.key) if found is not None and same else None
