"""The enums of the schema, each value described."""

from loket.api.enums import (  # noqa: F401  # each describes its own when it is imported
    bank,
    books,
    cases,
    deliveries,
    events,
    experiences,
    judgement,
    messages,
    money,
    procedures,
    webhooks,
)
