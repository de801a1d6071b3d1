"""Effects and attempts of months in which nothing is open any more: the same rows, out of the others' way.

No worker looks here. Who shows a person what other systems heard, or goes by what was told long ago, reads
`EVERY_EFFECT`: the effects of now and those of the archive, as one.
"""

from sqlalchemy import Column, Enum, Index, MetaData, PrimaryKeyConstraint, String, Table
from sqlmodel import SQLModel

from loket.records.effects import Attempt, Effect


def _columns(of: Table, *, checked: bool = True) -> list[Column[object]]:
    """The same columns; not `checked`: what an enumeration had in it was looked at when it was written."""
    return [
        Column(
            one.name,
            String(one.type.length) if isinstance(one.type, Enum) and not checked else one.type,
            nullable=one.nullable,
        )
        for one in of.columns
    ]


_effects: Table = Effect.__table__  # type: ignore[attr-defined]  # SQLModel's stubs hide it
_attempts: Table = Attempt.__table__  # type: ignore[attr-defined]  # the same

EFFECT_ARCHIVE = Table(
    "effectarchive",
    SQLModel.metadata,
    *_columns(_effects, checked=False),
    PrimaryKeyConstraint("id"),
    Index("effectarchive_of_case", "case_id", "seq"),
    postgresql_partition_by="RANGE (id)",
)
ATTEMPT_ARCHIVE = Table(
    "attemptarchive",
    SQLModel.metadata,
    *_columns(_attempts, checked=False),
    PrimaryKeyConstraint("id", "effect_id"),
    Index("ix_attemptarchive_effect_id", "effect_id"),
    postgresql_partition_by="RANGE (effect_id)",
)

EVERY_EFFECT = Table("everyeffect", MetaData(), *_columns(_effects))
"""A view."""
EVERY_ATTEMPT = Table("everyattempt", MetaData(), *_columns(_attempts))
"""A view."""
