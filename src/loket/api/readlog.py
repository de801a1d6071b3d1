"""Staff who open a case are written down: its citizen sees who looked (`Viewer.accessLog`).

A page of a list is no look at one person; what is asked by its reference, number or id is, and so is
following one case. Looking again within ten minutes is the same look.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    OperationType,
    get_argument_values,
)

from loket.api import plans
from loket.api.context import back_office
from loket.api.documents import Document
from loket.api.engine import Answer, Running, Schema
from loket.api.mapping import table_name
from loket.api.naming import read_id

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
        OR id IN (SELECT case_id FROM invoice WHERE number = ANY(%(words)s::text[]))
"""
_BY_ID = """
    SELECT person_id, procedure_key, id FROM "case"
     WHERE id = ANY(%(ids)s::uuid[]) OR application_id = ANY(%(ids)s::uuid[]) OR id IN ({parts})
     UNION ALL
    SELECT id, '', NULL FROM person WHERE id = ANY(%(ids)s::uuid[])
"""
_PART = "SELECT case_id FROM {table} WHERE id = ANY(%(ids)s::uuid[])"
"""Whoever reads what hangs on a case reads of its citizen."""


@dataclass
class _Looks:
    """What was asked for by name: references and numbers, and keys of rows."""

    words: list[str] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)


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
        if not back_office(context.viewer.scope) or running.operation.kind is OperationType.MUTATION:
            return
        looks = _Looks()
        for name, given in self._asked(running):
            if name in {"case", "caseEvents"}:
                looks.words.append(given["reference"])
            elif name == "invoice":
                looks.words.append(given["number"])
            elif name in {"node", "nodes"}:
                found = [read_id(one) for one in given.get("ids", [given.get("id", "")])]
                looks.ids += [one.key for one in found if one is not None and isinstance(one.key, UUID)]
        async with context.loket.database.reader() as connection:
            parameters = {"name": context.viewer.actor.name, "words": looks.words, "ids": looks.ids}
            if looks.words:
                await connection.execute(self._by_word, parameters)
            if looks.ids:
                await connection.execute(self._by_id, parameters)

    def _asked(self, running: Running) -> Iterator[tuple[str, dict[str, Any]]]:
        """The root fields that are really read, wherever in the document they stand, with their arguments."""
        subscribes = running.operation.kind is OperationType.SUBSCRIPTION
        kind = self._schema.subscription_type if subscribes else self._schema.query_type
        root = cast("GraphQLObjectType", kind)
        selected = plans.Document(running.document.fragments, running.flags).collect(
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
