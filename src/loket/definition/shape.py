"""What every part of a procedure file is made of."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

LANGUAGES = ("nl", "fr", "en", "de")
"""Dutch is the language of the administration (always there); the others are courtesy."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", max_length=60)]
Days = Annotated[int, Field(ge=0, le=3650)]
Eur = Annotated[Decimal, Field(ge=0, decimal_places=2, max_digits=9)]
"""An exact amount in euro, VAT included."""


class MessageChannel(StrEnum):
    """How a message reaches a person."""

    MBP = "MBP"
    """Mijn Burgerprofiel, through the Notificaties API."""
    EMAIL = "EMAIL"
    """By e-mail, for who wants that."""
    SMS = "SMS"
    """By text message, for who wants that."""
    LETTER = "LETTER"
    """On paper, for who has none of the others."""


class Shape(BaseModel):
    """Part of a procedure file: a word that is not known here is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Text(Shape):
    """What people read. Written as a plain string (Dutch) or per language."""

    nl: Annotated[str, Field(min_length=1)]
    """Dutch."""
    en: str | None = None
    """English."""
    fr: str | None = None
    """French."""
    de: str | None = None
    """German."""

    @model_validator(mode="before")
    @classmethod
    def _plain_is_dutch(cls, value: object) -> object:
        return {"nl": value} if isinstance(value, str) else value

    def get(self, language: str) -> str:
        """In `language`, or in Dutch where that is missing."""
        return self.languages().get(language, self.nl)

    def languages(self) -> dict[str, str]:
        """The languages that are really there."""
        return {one: text for one in LANGUAGES if (text := getattr(self, one))}
