"""The enums of messages and letters."""

from enum import StrEnum

from loket.api.naming import enumeration
from loket.lifecycle import MessageStatus
from loket.records import LetterStatus, LetterWay, MessageChannel


class LegalValue(StrEnum):
    """What a message is worth: only legal delivery makes the term of an appeal run."""

    INFORMATIVE = "INFORMATIVE"
    LEGAL = "LEGAL"


enumeration(
    LegalValue,
    {"INFORMATIVE": "It announces.", "LEGAL": "In the eBox, or by registered letter."},
)
enumeration(
    MessageStatus,
    {
        "QUEUED": "On its way out.",
        "SENT": "Taken by the channel.",
        "DELIVERED": "Arrived.",
        "FAILED": "Will not arrive.",
        "SKIPPED": "Not sent; `reason` says why.",
    },
    description="What became of a message.",
)
enumeration(
    MessageChannel,
    {
        "MBP": "Mijn Burgerprofiel.",
        "EMAIL": "E-mail.",
        "SMS": "Text message.",
        "LETTER": "On paper, or a letter in the eBox.",
    },
    description="Over what a message goes.",
)
enumeration(
    LetterWay,
    {"EBOX": "In the eBox.", "REGISTERED": "By registered letter.", "NORMAL": "By ordinary letter."},
    description="How a letter goes.",
)
enumeration(
    LetterStatus,
    {
        "QUEUED": "To be made, or waiting for the day's batch.",
        "BATCHED": "With who prints and posts it.",
        "SENT": "Sent, with proof.",
        "DELIVERED": "Arrived.",
        "FAILED": "Will not arrive.",
    },
    description="Where a letter stands.",
)
