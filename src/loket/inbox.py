"""What others tell us is heard once, however often it is said."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket.records import Inbox
from loket.work import Work


async def first_time(work: Work, source: str, message_id: str, outcome: dict[str, Any] | None = None) -> bool:
    """Whether this notice is new; kept in the same transaction as what it causes."""
    row = insert(Inbox).values(
        source=source, message_id=message_id[:200], received_at=work.now, outcome=outcome or {}
    )
    kept = await work.session.execute(row.on_conflict_do_nothing().returning(col(Inbox.message_id)))
    return kept.first() is not None
