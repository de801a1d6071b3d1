"""Staff who open a case are written down: its citizen sees who looked (`Viewer.accessLog`).

A page of a list is no look at one person; a case asked by its reference or id is. Looking again within
ten minutes is the same look.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from graphql import FieldNode, OperationType, StringValueNode, ValueNode, VariableNode

from loket.api.context import Context
from loket.api.documents import Document
from loket.api.engine import Answer, Schema
from loket.api.naming import read_id

_WRITE = """
    INSERT INTO accesslog
           (id, person_id, at, actor_kind, actor_name, service, purpose, reference, outcome, case_id)
    SELECT gen_random_uuid(), looked.person_id, now(), 'STAFF', %(name)s::text, 'loket',
           looked.procedure_key, '', 'READ', looked.id
      FROM "case" AS looked
     WHERE (looked.reference = ANY(%(references)s::text[]) OR looked.id = ANY(%(ids)s::uuid[]))
       AND NOT EXISTS (SELECT FROM accesslog AS before
                        WHERE before.person_id = looked.person_id
                          AND before.case_id = looked.id
                          AND before.actor_name = %(name)s::text
                          AND before.at > now() - interval '10 minutes')
"""


class LoggedSchema(Schema):
    """The schema, with the duty to log what staff read."""

    async def answer(
        self,
        text: str,
        *,
        context: Any,  # noqa: ANN401  # our context
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        compiled: bool = True,
    ) -> Answer:
        if context.viewer.scope.is_staff:
            document = self.document(text)
            if isinstance(document, Document):
                await _write_down(context, list(_looks(document, operation_name, variables or {})))
        return await super().answer(
            text, context=context, variables=variables, operation_name=operation_name, compiled=compiled
        )


def _looks(document: Document, name: str | None, variables: Mapping[str, Any]) -> Iterator[str | UUID]:
    """The references and ids of cases that a query asks for by name."""
    operation = document.operations.get(name) or next(iter(document.operations.values()))
    if operation.kind is not OperationType.QUERY:
        return
    for field in operation.node.selection_set.selections:
        if not isinstance(field, FieldNode) or field.name.value not in {"case", "node"}:
            continue
        for argument in field.arguments or ():
            value = _value(argument.value, variables)
            if field.name.value == "case" and value is not None:
                yield value
            elif value is not None and (found := read_id(value)) is not None and isinstance(found.key, UUID):
                yield found.key


def _value(node: ValueNode, variables: Mapping[str, Any]) -> str | None:
    if isinstance(node, StringValueNode):
        return node.value
    value = variables.get(node.name.value) if isinstance(node, VariableNode) else None
    return value if isinstance(value, str) else None


async def _write_down(context: Context, looks: list[str | UUID]) -> None:
    if not looks or context.viewer.actor is None:
        return
    parameters = {
        "name": context.viewer.actor.name,
        "references": [one for one in looks if isinstance(one, str)],
        "ids": [one for one in looks if isinstance(one, UUID)],
    }
    async with context.loket.database.reader() as connection:
        await connection.execute(_WRITE, parameters)
