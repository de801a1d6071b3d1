"""The enums of webhooks."""

from loket.api.naming import enumeration
from loket.records import WebhookPause, WebhookState

enumeration(
    WebhookState,
    {
        "ACTIVE": "It is told of events.",
        "PAUSED": "It is told nothing for now; its place in the stream is kept.",
        "ENDED": "It is told nothing any more.",
    },
    description="Whether a subscriber is told of events.",
)
enumeration(
    WebhookPause,
    {
        "ASKED": "You asked for it, or an operator did.",
        "UNREACHABLE": "It took nothing for 48 hours.",
        "GONE": "It answered 410: it wants no more.",
        "NOT_ALLOWED": "Whoever subscribed may not see these events any more.",
        "CURSOR_EXPIRED": "What comes next for it is no longer kept: `webhookReplay` gives it a new place.",
    },
    description="Why a subscriber is told nothing for now.",
)
