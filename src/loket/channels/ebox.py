"""Decisions in a citizen's eBox: legal delivery, worth a registered letter.

MAGDA's Documentendienst takes the message in. Public pages name `notifications/receivers?ssin=`; the rest of
the shape here is assumed, the smallest plausible one.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

import httpx2
import orjson

from loket import settings
from loket.errors import Unavailable
from loket.systems import calls
from loket.trust import authorities

SYSTEM = "ebox"
RECEIVERS = "/notifications/receivers"
NOTIFICATIONS = "/notifications"
LEGAL_VALUE = "REGISTERED"
NO_EBOX_CODE = "NO_EBOX"
TIMEOUT_SECONDS = 30.0


class NoEbox(Enum):
    """The citizen has no active eBox: the letter goes by post."""

    NO_EBOX = "NO_EBOX"


NO_EBOX: Final = NoEbox.NO_EBOX


class EboxStatus(StrEnum):
    """What became of a message. OPENED and REFUSED are final; who never opens stays at DELIVERED."""

    SENT = "SENT"
    DELIVERED = "DELIVERED"
    OPENED = "OPENED"
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class EboxReceipt:
    """The message was taken in. `notification` is the receiver's own name for it, to ask for its state."""

    id: UUID
    notification: str


@dataclass(frozen=True)
class EboxDelivery:
    """How far a message came, and when. `reason` is why it was refused."""

    notification: str
    status: EboxStatus
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    opened_at: datetime | None = None
    refused_at: datetime | None = None
    reason: str = ""


class EBox:
    """Sends one document to one citizen, and asks what became of it.

    Recognises a repeat: `key`, the message's own `messageId` (assumed).
    """

    def __init__(self, section: settings.Ebox, *, auth: httpx2.Auth, sender_kbo: str) -> None:
        """`auth` shows the token of scope `section.scope`; `sender_kbo`: the municipality, 10 digits."""
        self._sender = sender_kbo
        self._client = httpx2.AsyncClient(
            base_url=section.url, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False, verify=authorities()
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def has_box(self, insz: str) -> bool:
        """Whether this citizen has an active eBox now.

        Raises:
            Unavailable: no answer, or a 5xx or 429.
            Declined: nobody has this number (404), or our token does not allow it (401, 403).
        """
        request = self._client.build_request("GET", RECEIVERS, params={"ssin": insz})
        answer = calls.json_object(await calls.call(SYSTEM, self._client, request))
        if not isinstance(answer.get("active"), bool):
            raise Unavailable(SYSTEM, "the answer does not say whether there is an eBox")
        return bool(answer["active"])

    async def send(
        self,
        *,
        id: UUID,
        insz: str,
        subject: str,
        body: str,
        filename: str,
        document: bytes,
        category: str,
    ) -> EboxReceipt | Literal[NoEbox.NO_EBOX]:
        """Deliver `document`, a PDF, with legal value. `subject` and `body` are Dutch.

        A citizen who closes the eBox between a lost answer and its repeat may get the letter by post too.

        Raises:
            Unavailable: no (whole) answer, or a 5xx or 429.
            Declined: the message does not hold (400), nobody has this number (404), or our token does not
                allow it (401, 403).
        """
        if not await self.has_box(insz):
            return NO_EBOX
        message: dict[str, Any] = {
            "messageId": str(id),
            "ssin": insz,
            "sender": {"kbo": self._sender},
            "subject": {"nl": subject},
            "body": {"nl": body},
            "legalValue": LEGAL_VALUE,
            "category": category,
            "document": {
                "filename": filename,
                "mediaType": "application/pdf",
                "content": base64.b64encode(document).decode("ascii"),
                "sha256": hashlib.sha256(document).hexdigest(),
            },
        }
        headers = {"Content-Type": "application/json"}
        request = self._client.build_request(
            "POST", NOTIFICATIONS, content=orjson.dumps(message), headers=headers
        )
        response = await calls.ask(SYSTEM, self._client, request)
        answer = calls.json_object(response)
        if response.status_code == httpx2.codes.CONFLICT and answer.get("code") == NO_EBOX_CODE:
            return NO_EBOX  # closed since we asked
        if not response.is_success:
            raise calls.failure(SYSTEM, response)
        if not isinstance(answer.get("id"), str) or not answer["id"]:
            raise Unavailable(SYSTEM, "the answer does not name the notification")
        return EboxReceipt(id, answer["id"])

    async def status(self, notification: str) -> EboxDelivery:
        """What became of a message that was taken in.

        Raises:
            Unavailable: no answer, one that cannot be read, or a 5xx or 429.
            Declined: there is no such notification (404), or our token does not allow it (401, 403).
        """
        request = self._client.build_request("GET", f"{NOTIFICATIONS}/{quote(notification, safe='')}")
        answer = calls.json_object(await calls.call(SYSTEM, self._client, request))
        try:
            return EboxDelivery(
                notification=notification,
                status=EboxStatus(answer.get("status", "")),
                sent_at=_instant(answer.get("sentAt")),
                delivered_at=_instant(answer.get("deliveredAt")),
                opened_at=_instant(answer.get("openedAt")),
                refused_at=_instant(answer.get("refusedAt")),
                reason=str(answer.get("reason") or ""),
            )
        except (TypeError, ValueError) as strange:
            raise Unavailable(SYSTEM, f"an answer that cannot be read: {strange}") from strange


def _instant(text: str | None) -> datetime | None:
    """Raises `ValueError` for an instant without a zone."""
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return at
