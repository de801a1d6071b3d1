"""What is asked, how it looks, what fills itself."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from loket.definition.shape import Shape

PREFILL_SOURCES: dict[str, str] = {
    "magda.person.first_name": "first name, from the National Register",
    "magda.person.last_name": "family name, from the National Register",
    "magda.person.name": "first and family name, from the National Register",
    "magda.person.birth_date": "date of birth",
    "magda.person.address.street": "street of the domicile",
    "magda.person.address.number": "house number of the domicile",
    "magda.person.address.box": "box number of the domicile",
    "magda.person.address.postal_code": "postal code of the domicile",
    "magda.person.address.city": "municipality of the domicile, by name",
    "magda.person.address.nis": "municipality of the domicile, NIS code",
    "acmidm.first_name": "first name, as signed in",
    "acmidm.last_name": "family name, as signed in",
    "acmidm.name": "first and family name, as signed in",
    "contact.email": "e-mail address that the person gave us before",
    "contact.phone": "phone number that the person gave us before",
}
"""What a form can be filled from: the government never asks what it knows already."""


def _plain(value: object) -> object:
    """JSON as a validator and a client want it: no Decimals."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, Decimal) else value


Json = Annotated[dict[str, Any], BeforeValidator(_plain)]


class Prefill(Shape):
    """A field that fills itself."""

    field: Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
    """Where in the answers, as a JSON pointer: /applicant/name."""
    source: str
    """Where it comes from."""
    fallback: str | None = None
    """A second source, for when the first is silent."""
    editable: bool = True
    """False: what the source said stands, the applicant sees it but does not change it."""


class Form(Shape):
    """What is asked: JSON Schema 2020-12, how it looks (uiSchema), what fills itself."""

    json_schema: Annotated[Json, Field(alias="schema")]
    """The questions, as JSON Schema; `title` and `description` are what the citizen reads, in Dutch."""
    ui: Json = Field(default_factory=dict)
    """How they look, in the words of react-jsonschema-form (`ui:order`, `ui:widget`, `ui:readonly`)."""
    prefill: tuple[Prefill, ...] = ()
    """What is filled in already."""
    translations: dict[Literal["fr", "en", "de"], dict[str, str]] = Field(default_factory=dict)
    """Per language: JSON pointer into the schema → the text in that language."""
