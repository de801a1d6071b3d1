"""The scalars of the schema, and `Money`.

What leaves is text in one form only, so that an answer read by SQL and one made in Python are the same bytes.
Values that come from the map are already in that form, and pass.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NewType

import phonenumbers
import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from loket.api.naming import described, output
from loket.sepa import Unpayable, check_iban

IBAN = NewType("IBAN", str)
PhoneNumber = NewType("PhoneNumber", str)
EmailAddress = NewType("EmailAddress", str)
CurrencyCode = NewType("CurrencyCode", str)
Cursor = NewType("Cursor", str)

DECIMAL_DIGITS = 20
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+",
    re.ASCII,
)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def decimal_text(value: Decimal) -> str:
    """`value` without exponent, as PostgreSQL's `numeric::text` writes it: 60.00 keeps its two zeros."""
    return format(value, "f")


def instant_text(value: datetime) -> str:
    """An aware instant in UTC with six decimals: 2026-11-21T09:15:00.000000Z."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_decimal(value: object) -> Decimal:
    text = repr(value) if isinstance(value, float) else str(value) if isinstance(value, int) else value
    if isinstance(value, bool) or not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise GraphQLError('A Decimal is written as digits with a point: "60.00".')
    try:
        number = Decimal(text)
    except InvalidOperation as fault:
        raise GraphQLError('A Decimal is written as digits with a point: "60.00".') from fault
    if len(number.as_tuple().digits) > DECIMAL_DIGITS:
        raise GraphQLError(f"A Decimal has at most {DECIMAL_DIGITS} digits.")
    return number


def parse_instant(value: object) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            found = datetime.fromisoformat(value.upper())
            return found.astimezone(UTC)
        except (ValueError, OverflowError) as fault:
            raise GraphQLError("This instant does not exist.") from fault
    raise GraphQLError('A DateTime is written with its offset: "2026-11-21T09:15:00Z".')


def parse_day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as fault:
            raise GraphQLError("This day does not exist.") from fault
    raise GraphQLError('A Date is written "2026-11-21".')


def parse_iban(value: object) -> IBAN:
    if not isinstance(value, str) or len(value) > 50:
        raise GraphQLError("This is no IBAN.")
    try:
        return IBAN(check_iban(value))
    except Unpayable as fault:
        raise GraphQLError(f"This is no IBAN that can be paid to: {fault}.") from fault


def parse_phone(value: object) -> PhoneNumber:
    if isinstance(value, str) and len(value) <= 30:
        try:
            number = phonenumbers.parse(value, "BE")
        except phonenumbers.NumberParseException:
            number = None
        if number is not None and phonenumbers.is_valid_number(number):
            return PhoneNumber(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    raise GraphQLError('A phone number is written with its country: "+32470123456".')


def parse_email(value: object) -> EmailAddress:
    if isinstance(value, str) and len(value) <= 254 and _EMAIL.fullmatch(value):
        return EmailAddress(value)
    raise GraphQLError("This is no e-mail address.")


def parse_currency(value: object) -> CurrencyCode:
    if isinstance(value, str) and _CURRENCY.fullmatch(value):
        return CurrencyCode(value)
    raise GraphQLError('A currency is three capitals: "EUR".')


def parse_cursor(value: object) -> Cursor:
    if isinstance(value, str) and 0 < len(value) <= 1000:
        return Cursor(value)
    raise GraphQLError("A cursor is a text that an earlier answer gave.")


def _wire(kind: type[Any], write: Callable[[Any], str]) -> Callable[[Any], str]:
    def serialize(value: object) -> str:
        if isinstance(value, kind):
            return write(value)
        if isinstance(value, str):
            return value
        raise GraphQLError(f"{type(value).__name__} is no {kind.__name__}")

    return serialize


def _scalar(
    name: str, description: str, url: str, parse: Callable[[Any], Any], serialize: Callable[[Any], Any] = str
) -> ScalarDefinition:
    return strawberry.scalar(
        name=name, description=description, specified_by_url=url, parse_value=parse, serialize=serialize
    )


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: _scalar(
        "Decimal",
        f'An exact number as text: `"60.00"`. At most {DECIMAL_DIGITS} digits, no exponent.',
        "https://www.w3.org/TR/xmlschema11-2/#decimal",
        parse_decimal,
        _wire(Decimal, decimal_text),
    ),
    datetime: _scalar(
        "DateTime",
        'An instant in UTC: `"2026-11-21T09:15:00.000000Z"`. On input any offset is understood.',
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        parse_instant,
        _wire(datetime, instant_text),
    ),
    date: _scalar(
        "Date",
        'A day of the calendar, without a time: `"2026-11-21"`.',
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        parse_day,
        _wire(date, date.isoformat),
    ),
    IBAN: _scalar(
        "IBAN",
        "A bank account number (ISO 13616) without spaces; its check digits are verified.",
        "https://www.iso.org/standard/81090.html",
        parse_iban,
    ),
    PhoneNumber: _scalar(
        "PhoneNumber",
        'A telephone number in E.164: `"+32470123456"`. On input a Belgian number may leave out the country.',
        "https://www.itu.int/rec/T-REC-E.164/",
        parse_phone,
    ),
    EmailAddress: _scalar(
        "EmailAddress",
        "An e-mail address, as HTML forms define one.",
        "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address",
        parse_email,
    ),
    CurrencyCode: _scalar(
        "CurrencyCode",
        'A currency in three capitals (ISO 4217): `"EUR"`.',
        "https://www.iso.org/iso-4217-currency-codes.html",
        parse_currency,
    ),
    Cursor: _scalar(
        "Cursor",
        "A place in a list or in the stream of events. Opaque: give back what an answer gave.",
        "https://relay.dev/graphql/connections.htm#sec-Cursor",
        parse_cursor,
    ),
    JSON: _scalar(
        "JSON",
        "Any JSON value: an object, a list, a text, a number, true, false or null.",
        "https://www.rfc-editor.org/rfc/rfc8259",
        lambda value: value,
        lambda value: value,
    ),
}
"""For `StrawberryConfig(scalar_map=…)`."""


@output
class Money:
    """An amount in a currency."""

    amount: Decimal = described("The exact amount, as text.")
    currency: CurrencyCode = described("In which currency; in practice EUR.")


def eur(amount: Decimal) -> Money:
    """`amount` as Money in euro."""
    return Money(amount=amount, currency=CurrencyCode("EUR"))
