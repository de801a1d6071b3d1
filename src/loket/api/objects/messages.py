"""What was said to people."""

from datetime import datetime

from loket import records
from loket.api.enums.messages import LegalValue
from loket.api.naming import input_type
from loket.api.objects.conditions import equal
from loket.api.objects.links import ItsCase
from loket.api.reads import Node, column, entity, expression, newest, one, orders
from loket.api.visibility import of_message
from loket.lifecycle import MessageStatus
from loket.records import MessageChannel


@entity(records.Message, policy=of_message)
class Message(Node):
    """One message to one person over one channel (bericht)."""

    about: str = column("Which event it tells.")
    channel: MessageChannel = column("Over what.")
    status: MessageStatus = column("What became of it.")
    reason: str = column("Why it was skipped or failed.")
    language: str = column("In which language.")
    subject: str = column("Its subject; empty for a text message.")
    body: str = column("Its text.")
    legal_value: LegalValue = expression(
        "Whether it is a legal delivery, or only announces.",
        "CASE WHEN {t}.legal_value THEN 'LEGAL' ELSE 'INFORMATIVE' END",
    )
    queued_at: datetime = column("When it was written.")
    sent_at: datetime | None = column("When the channel took it.")
    delivered_at: datetime | None = column("When it arrived, where the channel tells.")
    case: ItsCase = one("About which case.", on="case_id", with_parent=True)


@input_type
class MessageFilter:
    """Which messages."""

    channel: MessageChannel | None = equal("Over this channel.", "channel")
    status: MessageStatus | None = equal("With this fate.", "status")


MESSAGE_ORDER = orders(
    "MessageOrder", "In which order messages come.", NEWEST=(newest("queued_at"), "Last first.")
)
