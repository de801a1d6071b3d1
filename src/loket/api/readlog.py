"""Staff who open a case are written down: its citizen sees who looked (`Viewer.accessLog`).

A page of a list is no look at one person. What is asked by its reference, number or id is, and so is
following one case, searching by a name or a reference, and going on with a draft of the counter. Looking
again within ten minutes is the same look.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
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
from loket.api.context import Caller, back_office, counter, of_cases
from loket.api.documents import Document
from loket.api.engine import Answer, Running, Schema
from loket.api.mapping import table_name
from loket.api.naming import read_id
from loket.api.reads import LARGEST_PAGE
from loket.api.rendering import plain

_WRITE = """
    INSERT INTO accesslog
           (id, person_id, at, actor_kind, actor_name, service, purpose, reference, outcome, case_id)
    SELECT gen_random_uuid(), looked.person_id, now(), 'STAFF', %(name)s::text, 'loket',
           looked.purpose, '', 'READ', looked.case_id
      FROM ({looked}) AS looked (person_id, purpose, case_id)
     WHERE NOT EXISTS (SELECT FROM accesslog AS before
                        WHERE before.person_id = looked.person_id
                          AND before.case_id IS NOT DISTINCT FROM looked.case_id
                          AND before.service = 'loket'
                          AND before.actor_name = %(name)s::text
                          AND before.at > now() - interval '10 minutes')
"""
_BY_WORD = """
    SELECT person_id, procedure_key, id FROM "case"
     WHERE reference = ANY(%(words)s::text[])
        OR id IN (SELECT case_id FROM invoice
                   WHERE number = ANY(%(words)s::text[]) OR reference = ANY(%(words)s::text[]))
"""
_BY_ID = """
    SELECT person_id, procedure_key, id FROM "case"
     WHERE id = ANY(%(ids)s::uuid[]) OR application_id = ANY(%(ids)s::uuid[]) OR id IN ({parts})
     UNION ALL
    SELECT id, '', NULL FROM person WHERE id = ANY(%(ids)s::uuid[])
     UNION ALL
    SELECT a.person_id, a.procedure_key, NULL FROM application a JOIN document d ON d.application_id = a.id
     WHERE a.channel = 'COUNTER' AND d.case_id IS NULL AND d.id = ANY(%(ids)s::uuid[])
     UNION ALL
    SELECT person_id, procedure_key, NULL FROM application
     WHERE channel = 'COUNTER' AND status = 'DRAFT' AND id = ANY(%(ids)s::uuid[])
"""
_BY_DRAFT = """
    SELECT a.person_id, a.procedure_key, c.id FROM application a LEFT JOIN "case" c ON c.application_id = a.id
     WHERE a.channel = 'COUNTER' AND a.id = ANY(%(drafts)s::uuid[])
"""
_SEARCHED = 'SELECT t.person_id, t.procedure_key, t.id FROM "case" t WHERE {conditions} LIMIT {most}'
_SEARCHES = frozenset({"search", "reference", "applicantName"})
"""Conditions on cases that name somebody."""
_PART = "SELECT case_id FROM {table} WHERE id = ANY(%(ids)s::uuid[])"
"""Whoever reads what hangs on a case reads of its citizen."""


@dataclass
class _Looks:
    """What was asked for by name: references and numbers, and keys of rows."""

    words: list[str] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)
    drafts: list[UUID] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)

    def add(self, *ids: str) -> None:
        found = [read_id(one) for one in ids]
        self.ids += [one.key for one in found if one is not None and isinstance(one.key, UUID)]


class LoggedSchema(Schema):
    """The schema, with the duty to log what staff read."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401  # the engine's
        super().__init__(*positional, **named)
        tables = [one.table for one in self.map.entities.values() if one.table is not None]
        parts = [_PART.format(table=table_name(one)) for one in tables if "case_id" in one.c]
        self._by_word = _WRITE.format(looked=_BY_WORD)
        self._by_id = _WRITE.format(looked=_BY_ID.format(parts=" UNION ALL ".join(parts)))

    async def _answer(self, running: Running, *positional: Any, **named: Any) -> Answer:  # noqa: ANN401  # the engine's
        await self._log(running)
        return await super()._answer(running, *positional, **named)

    async def events(
        self,
        document: Document,
        *,
        context: Any,  # noqa: ANN401  # our context
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> AsyncGenerator[Answer, None]:
        started = self.start(document, context, variables, operation_name)
        if not isinstance(started, Answer):
            await self._log(started[0])
        stream = super().events(document, context=context, variables=variables, operation_name=operation_name)
        async with aclosing(stream) as answers:
            async for answer in answers:
                yield answer

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
            elif name == "cases" and any(filter.get(one) for one in _SEARCHES):
                looks.searches.append(filter)
            elif name in {"node", "nodes"}:
                looks.add(*given.get("ids", [given.get("id", "")]))
            elif name == "tasks" and filter.get("case"):
                looks.add(filter["case"])
            elif name.startswith("application") and given.get("id") and counter(context.viewer.scope):
                draft = read_id(given["id"])  # to read, or to go on with
                if draft is not None and draft.kind == "Application" and isinstance(draft.key, UUID):
                    looks.drafts.append(draft.key)
        async with context.loket.database.reader() as connection:
            parameters = {"name": context.viewer.actor.name} | {
                "words": looks.words, "ids": looks.ids, "drafts": looks.drafts,
            }  # fmt: skip
            if looks.words:
                await connection.execute(self._by_word, parameters)
            if looks.ids:
                await connection.execute(self._by_id, parameters)
            if looks.drafts:
                await connection.execute(_WRITE.format(looked=_BY_DRAFT), parameters)
            for filter in looks.searches:
                looked, values = self._searched(filter, context.viewer)
                await connection.execute(_WRITE.format(looked=looked), values | {"name": parameters["name"]})

    def _searched(self, filter: Mapping[str, Any], viewer: Caller) -> tuple[str, dict[str, Any]]:
        """Whose cases a search finds, as the list itself finds them."""
        values: dict[str, Any] = {
            "staff_id": viewer.staff_id,
            "departments": list(viewer.departments),
        }
        of_viewer = SimpleNamespace(staff_id="%(staff_id)s", departments="%(departments)s")
        conditions = [of_cases(viewer.scope).format(t="t", viewer=of_viewer)]
        known = self.map.filters["CaseFilter"]
        for number, (name, given) in enumerate(filter.items()):
            if given is None:
                continue
            wanted = _key(given, known[name].by_id) if known[name].by_id else plain(given)
            values[f"given{number}"] = wanted
            conditions.append(known[name].sql.format(t="t", value=f"%(given{number})s", viewer=of_viewer))
        return _SEARCHED.format(conditions=" AND ".join(conditions), most=LARGEST_PAGE), values

    def _asked(self, running: Running) -> Iterator[tuple[str, dict[str, Any]]]:
        """The root fields that are really read, wherever in the document they stand, with their arguments."""
        root = cast("GraphQLObjectType", self._schema.get_root_type(running.operation.kind))
        selected = selections.Document(running.document.fragments, running.flags).collect(
            self._schema, root, [running.operation.node.selection_set]
        )
        for nodes in selected.values():
            node: FieldNode = nodes[0]
            definition = root.fields.get(node.name.value)
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
