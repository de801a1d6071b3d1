"""Short messages to a phone, through Twilio, and what became of them."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx2
import phonenumbers
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]  # ships no py.typed
from twilio.http import AsyncHttpClient  # type: ignore[import-untyped]  # ships no py.typed
from twilio.http.response import Response  # type: ignore[import-untyped]  # ships no py.typed
from twilio.request_validator import (  # type: ignore[import-untyped]  # ships no py.typed
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)
from twilio.rest import Client  # type: ignore[import-untyped]  # ships no py.typed

from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from loket.settings import Sms as Settings
from loket.trust import authorities

SYSTEM = "sms"
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class ErrorCode:
    """`permanent`: the same message to the same number will never arrive."""

    permanent: bool
    meaning: str


# fmt: off
ERROR_CODES = {
    # www.twilio.com/docs/api/errors
    14107: ErrorCode(False, "too many messages in a short time"),
    20003: ErrorCode(True,  "the account or its token is wrong"),
    20429: ErrorCode(False, "too many requests"),
    21211: ErrorCode(True,  "not a phone number"),
    21212: ErrorCode(True,  "the sender is not valid"),
    21408: ErrorCode(True,  "this country is not enabled for the account"),
    21602: ErrorCode(True,  "the message is empty"),
    21603: ErrorCode(True,  "there is no sender"),
    21604: ErrorCode(True,  "there is no phone number"),
    21606: ErrorCode(True,  "the sender may not send messages"),
    21609: ErrorCode(True,  "the address for receipts is not valid"),
    21610: ErrorCode(True,  "the citizen said STOP"),
    21611: ErrorCode(False, "too many messages are waiting"),
    21612: ErrorCode(True,  "this sender cannot reach this number"),
    21614: ErrorCode(True,  "not a mobile number"),
    21617: ErrorCode(True,  "the message is too long"),
    21705: ErrorCode(True,  "the messaging service is not valid"),
    30001: ErrorCode(False, "too many messages are waiting"),
    30002: ErrorCode(True,  "the account is suspended"),
    30003: ErrorCode(False, "the phone is off or out of reach"),
    30004: ErrorCode(True,  "the citizen or the carrier blocks messages"),
    30005: ErrorCode(True,  "the number is not in use"),
    30006: ErrorCode(True,  "a landline, or a carrier that is out of reach"),
    30007: ErrorCode(True,  "filtered by the carrier"),
    30008: ErrorCode(False, "the carrier gives no reason"),
    30010: ErrorCode(True,  "the message is too expensive for the account's limit"),
    30022: ErrorCode(False, "too many messages in a short time"),
    30453: ErrorCode(True,  "the sender's name is not registered in this country"),
    63038: ErrorCode(False, "the account's daily limit is reached"),
}
# fmt: on
"""What stands nowhere here is judged by its HTTP status."""


class SmsStatus(StrEnum):
    UNDERWAY = "UNDERWAY"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


# fmt: off
STATUSES = {
    "accepted":            SmsStatus.UNDERWAY,
    "scheduled":           SmsStatus.UNDERWAY,
    "queued":              SmsStatus.UNDERWAY,
    "sending":             SmsStatus.UNDERWAY,
    "sent":                SmsStatus.UNDERWAY,   # with the carrier, not yet on the phone
    "delivered":           SmsStatus.DELIVERED,
    "partially_delivered": SmsStatus.DELIVERED,
    "read":                SmsStatus.DELIVERED,
    "undelivered":         SmsStatus.FAILED,
    "failed":              SmsStatus.FAILED,
    "canceled":            SmsStatus.FAILED,
}
# fmt: on


@dataclass(frozen=True)
class Sent:
    """Twilio took the message. `status` is its own word, mostly `queued`."""

    sid: str
    status: str


@dataclass(frozen=True)
class SmsReceipt:
    """What became of the message `id` (ours). DELIVERED and FAILED are final; receipts come out of order.

    `permanent` says whether sending again is useless; `reason` why it failed.
    """

    id: UUID
    sid: str
    status: SmsStatus
    raw_status: str
    error_code: int | None
    permanent: bool
    reason: str


class Sms:
    """Twilio recognises no repeat (`none`): a lost answer may mean the same message twice on the phone."""

    def __init__(
        self, settings: Settings, *, public_url: str, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._sender = settings.sender
        self._callback = f"{public_url.rstrip('/')}/hooks/sms/twilio"
        self._validator = RequestValidator(settings.auth_token)
        self._signed = bool(settings.auth_token)
        self._http = _Http(settings.url, timeout_seconds)
        self._client = Client(settings.account_sid, settings.auth_token, http_client=self._http)

    async def send(self, *, id: UUID, to: str, body: str) -> Sent:
        """Send `body` to `to` (E.164).

        Raises:
            Unavailable: no answer, or not now.
            Declined: this message will never arrive (no such number, the citizen said STOP).
        """
        sender = {"messaging_service_sid" if self._sender.startswith("MG") else "from_": self._sender}
        try:
            message = await self._client.messages.create_async(
                to=to, body=body, status_callback=f"{self._callback}?{urlencode({'message': id})}", **sender
            )
        except httpx2.HTTPError as silence:
            raise Unavailable(SYSTEM, f"no answer: {type(silence).__name__}: {silence}") from silence
        except TwilioException as refusal:
            raise _failure(refusal) from refusal
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as unreadable:
            raise Unavailable(SYSTEM, f"unreadable answer: {unreadable!r}") from unreadable
        if not message.sid:
            raise Unavailable(SYSTEM, "unreadable answer: no sid")
        return Sent(sid=str(message.sid), status=str(message.status))

    def read_receipt(self, url: str, headers: Mapping[str, str], form: Mapping[str, str]) -> SmsReceipt:
        """What Twilio's status callback says. `url` is the public one, with its query: it is signed too.

        Raises:
            BadSignature: not provably from Twilio.
            BadNotice: not a receipt of a message of ours.
        """
        fields = {name.lower(): value for name, value in headers.items()}
        signature = fields.get(SIGNATURE_HEADER.lower(), "")
        algorithm = get_signature_algorithm(fields.get(SIGNATURE_SETTINGS_HEADER.lower(), ""))
        if not (self._signed and self._validator.validate(url, form, signature, algorithm)):
            raise BadSignature("X-Twilio-Signature is missing or wrong")
        try:
            return _receipt(url, form)
        except (KeyError, ValueError) as wrong:
            raise BadNotice(f"not a receipt: {wrong!r}") from wrong

    async def aclose(self) -> None:
        await self._http.aclose()


def e164(text: str, region: str = "BE") -> str:
    """A phone number as people write it ("0470 12 34 56"), in E.164 ("+32470123456").

    Raises:
        ValueError: no such number can exist.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as wrong:
        raise ValueError(str(wrong)) from wrong
    if not phonenumbers.is_valid_number(number):
        raise ValueError("no such phone number exists")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class _Http(AsyncHttpClient):  # type: ignore[misc]  # twilio ships no types
    """Twilio's library over httpx2, with our base URL: its own transport (aiohttp) knows neither."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._base = httpx2.URL(url)
        self._client = httpx2.AsyncClient(timeout=timeout_seconds, trust_env=False, verify=authorities())

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is Twilio's
        allow_redirects: bool = False,
    ) -> Response:
        there = httpx2.URL(uri).copy_with(
            scheme=self._base.scheme, host=self._base.host, port=self._base.port
        )
        response = await self._client.request(
            method.upper(),
            there,
            params=params,  # type: ignore[arg-type]  # Twilio says `object`, and gives texts
            data=data,
            headers=headers,
            auth=auth,
            follow_redirects=allow_redirects,
        )
        return Response(response.status_code, response.text, response.headers)

    async def aclose(self) -> None:
        await self._client.aclose()


def _failure(refusal: Exception) -> Declined | Unavailable:
    status = getattr(refusal, "status", None)
    code = getattr(refusal, "code", None)
    told = getattr(refusal, "msg", None) or getattr(refusal, "detail", None) or type(refusal).__name__
    known = ERROR_CODES.get(code) if isinstance(code, int) else None
    permanent = (
        known.permanent if known else isinstance(status, int) and 400 <= status < 500 and status != 429
    )
    reason = f"HTTP {status}, {code}: {known.meaning if known else told}"
    return (Declined if permanent else Unavailable)(SYSTEM, reason, http_status=status)


def _receipt(url: str, form: Mapping[str, str]) -> SmsReceipt:
    raw_status = form["MessageStatus"]
    code = int(form["ErrorCode"]) if form.get("ErrorCode") else None
    known = ERROR_CODES.get(code) if code else None
    status = STATUSES.get(raw_status, SmsStatus.UNDERWAY)
    return SmsReceipt(
        id=UUID(parse_qs(urlsplit(url).query)["message"][0]),
        sid=form["MessageSid"],
        status=status,
        raw_status=raw_status,
        error_code=code,
        permanent=known.permanent if known else status is SmsStatus.FAILED,
        reason=known.meaning if known else (f"error {code}" if code else ""),
    )
