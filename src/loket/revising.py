"""What differs between two versions of a procedure: for who began under the older one, and for whoever
publishes the newer one. No I/O.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from loket import formfields
from loket.changes import PARTS, Change, said
from loket.changes import ChangeKind as K
from loket.definition import Benefit, Definition, Product, Text
from loket.forms import form_in
from loket.notation import amount

_PROSE = frozenset({"title", "description", "x-message", "examples", "$comment"})
"""Of a field what is said about it: other words do not make it another question."""
_PLUMBING = frozenset({"$defs", "$schema", "$id"})
_FIELD_BY_FIELD = frozenset({"then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
"""Parts of a group whose fields are looked at one by one, as its own are."""


def changes(before: Definition, after: Definition, on: date, language: str) -> list[Change]:
    """All that differs, in the order in which an applicant meets it; amounts are those of day `on`.

    No part that differs stays unnamed: what has no words of its own is named as a part (PART_CHANGED).
    """
    found: list[Change] = []
    seen: set[str] = set()
    for sections, look in _LOOKS:
        mine = list(look(before, after, on, language))
        found += mine
        if mine:
            seen |= set(sections)
    for section, (dutch, english, for_applicant) in PARTS.items():
        if section not in seen and getattr(before, section) != getattr(after, section):
            words = english if language == "en" else dutch
            found.append(said(K.PART_CHANGED, section, language, for_applicant, part=words))
    return found


# --- the form ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    title: str
    required: bool
    content: Any
    """What an answer must be, apart from what the fields of a group must be."""


def _form(before: Definition, after: Definition, _: date, language: str) -> Iterator[Change]:
    old, new = _fields(before, language), _fields(after, language)
    wholes = [_content(one.form.json_schema, one.form.json_schema) for one in (before, after)]
    if wholes[0] != wholes[1]:
        title = after.title.get(language)
        yield said(K.FIELD_CHANGED, "/", language, title=title)
    for pointer, field in new.items():
        was = old.get(pointer)
        if was is None and not _within(pointer, new.keys() - old.keys()):
            kind, key = K.FIELD_ADDED, "needed" if field.required else "asked"
            yield said(kind, pointer, language, words=key, title=field.title)
        elif was is not None:
            if field.required and not was.required:
                yield said(K.FIELD_REQUIRED, pointer, language, title=field.title)
            elif was.required and not field.required:
                yield said(K.FIELD_OPTIONAL, pointer, language, title=field.title)
            if field.content != was.content:
                yield said(K.FIELD_CHANGED, pointer, language, title=field.title)
    for pointer, field in old.items():
        if pointer not in new and not _within(pointer, old.keys() - new.keys()):
            yield said(K.FIELD_REMOVED, pointer, language, title=field.title)


def _within(pointer: str, others: Sequence[str] | set[str]) -> bool:
    """Whether it is part of a group among `others`: then the group alone is named."""
    return any(pointer.startswith(f"{one}/") for one in others)


def _fields(definition: Definition, language: str) -> dict[str, _Field]:
    """By pointer all fields of the form; of one that is declared in several places the first title counts."""
    plain, worded = definition.form.json_schema, form_in(definition.form, language)
    titles: dict[str, str] = {}
    for pointer, schema in formfields.all_fields(worded):
        titles.setdefault(pointer, str(schema.get("title") or ""))
    contents: dict[str, list[Any]] = {}
    required = {f"/{name}" for name in plain.get("required", ())}
    for pointer, schema in formfields.all_fields(plain):
        required |= {f"{pointer}/{name}" for name in schema.get("required", ())}
        contents.setdefault(pointer, []).append(_content(plain, schema))
    return {
        pointer: _Field(_path(titles, pointer), pointer in required, contents[pointer])
        for pointer in contents
    }


def _path(titles: Mapping[str, str], pointer: str) -> str:
    """The titles that lead there: `Levering › Opmerking`."""
    steps = pointer.strip("/").split("/")
    places = ["/" + "/".join(steps[: number + 1]) for number in range(len(steps))]
    return " › ".join(titles.get(place) or steps[number] for number, place in enumerate(places))


def _content(form: Mapping[str, Any], schema: Any, *, whole: bool = False, depth: int = 0) -> Any:  # noqa: ANN401  # JSON
    """A field without the words about it; of a group without its fields, unless it is wanted `whole`."""
    if isinstance(schema, list):
        return [_content(form, one, whole=whole, depth=depth + 1) for one in schema]
    schema = formfields.resolved(form, schema)
    if not isinstance(schema, Mapping) or depth > formfields.MAX_DEPTH:
        return schema
    found: dict[str, Any] = {}
    for word, value in schema.items():
        if word in _PROSE | _PLUMBING or (depth == 0 and word == "required"):
            continue
        if word == "properties":
            if whole:
                fields = value.items()
                found[word] = {one: _content(form, said, whole=True, depth=depth + 1) for one, said in fields}
        elif word == "dependentSchemas":
            parts = value.items()
            found[word] = {one: _content(form, said, whole=whole, depth=depth + 1) for one, said in parts}
        else:
            inside = whole or word not in _FIELD_BY_FIELD
            found[word] = _content(form, value, whole=inside, depth=depth + 1)
    return found


# --- what it costs ----------------------------------------------------------------------------


def _catalogue(before: Definition, after: Definition, on: date, language: str) -> Iterator[Change]:
    old, new = _products(before), _products(after)
    for key, product in new.items():
        if key not in old:
            price = _on(product.prices, on)
            yield said(
                K.PRODUCT_ADDED, key, language, title=product.title.get(language), now=_eur(price, language)
            )
            continue
        yield from _price(key, product.title, old[key].prices, product.prices, on, language)
        yield from _options(old[key], product, on, language)
        if _terms_of_sale(old[key]) != _terms_of_sale(product):
            yield said(K.PRODUCT_CHANGED, key, language, title=product.title.get(language))
    for key, product in old.items():
        if key not in new:
            yield said(K.PRODUCT_REMOVED, key, language, title=product.title.get(language))


def _options(old: Product, new: Product, on: date, language: str) -> Iterator[Change]:
    were = {one.key: one for one in old.options}
    for one in new.options:
        place, was = f"{new.key}/{one.key}", were.pop(one.key, None)
        if was is None:
            now = _eur(_on(one.prices, on), language)
            yield said(K.PRODUCT_ADDED, place, language, title=one.title.get(language), now=now)
        else:
            yield from _price(place, one.title, was.prices, one.prices, on, language)
    for key, gone in were.items():
        yield said(K.PRODUCT_REMOVED, f"{new.key}/{key}", language, title=gone.title.get(language))


def _price(
    subject: str, title: Text, old: "Sequence[_Priced]", new: "Sequence[_Priced]", on: date, language: str
) -> Iterator[Change]:
    was, now = _on(old, on), _on(new, on)
    if was != now:
        yield said(
            K.PRICE_CHANGED,
            subject,
            language,
            title=title.get(language),
            was=_eur(was, language),
            now=_eur(now, language),
        )


def _products(definition: Definition) -> dict[str, Product]:
    return {one.key: one for one in definition.catalogue.products} if definition.catalogue else {}


def _terms_of_sale(product: Product) -> tuple[object, ...]:
    return product.maximum, product.first_unit_discount, product.deposit


# --- on what conditions -----------------------------------------------------------------------


def _rules(before: Definition, after: Definition, _: date, language: str) -> Iterator[Change]:
    old, new = ([*definition.rules.screening, *definition.rules.approval] for definition in (before, after))
    return _listed(old, new, (K.RULE_ADDED, K.RULE_REMOVED, K.RULE_CHANGED), ("when",), language)


def _documents(before: Definition, after: Definition, _: date, language: str) -> Iterator[Change]:
    kinds = (K.DOCUMENT_ADDED, K.DOCUMENT_REMOVED, K.DOCUMENT_CHANGED)
    return _listed(before.documents, after.documents, kinds, ("required", "description"), language)


def _checks(before: Definition, after: Definition, _: date, language: str) -> Iterator[Change]:
    kinds = (K.LOOK_UP_ADDED, K.LOOK_UP_REMOVED, K.LOOK_UP_CHANGED)
    asked = ("service", "of", "statuses", "on", "years_back", "when", "met", "documents")
    return _listed(before.checks, after.checks, kinds, asked, language)


def _benefits(before: Definition, after: Definition, on: date, language: str) -> Iterator[Change]:
    kinds = (K.BENEFIT_ADDED, K.BENEFIT_REMOVED, K.BENEFIT_CHANGED)
    yield from _listed(before.benefits, after.benefits, kinds, ("per", "check", "asked", "when"), language)
    old = {one.key: one for one in before.benefits}
    for one in after.benefits:
        if one.key in old:
            was = _granted(before, old[one.key], on)
            now = _granted(after, one, on)
            if was != now:
                title = one.title.get(language)
                yield said(
                    K.AMOUNT_CHANGED,
                    one.key,
                    language,
                    title=title,
                    was=_eur(was, language),
                    now=_eur(now, language),
                )


def _granted(definition: Definition, benefit: Benefit, on: date) -> Decimal | None:
    return _on(benefit.amounts, definition.reference_day(on))


def _term(before: Definition, after: Definition, _: date, language: str) -> Iterator[Change]:
    old, new = before.term, after.term
    if (old.days, old.counting) != (new.days, new.counting):
        words = "term_working" if new.counting == "working" else ""
        yield said(K.TERM_CHANGED, "term", language, words=words, was=str(old.days), now=str(new.days))


class _Named(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def title(self) -> Text: ...


class _Priced(Protocol):
    @property
    def amount(self) -> Decimal: ...

    def holds(self, on: date) -> bool: ...


def _listed(
    old: Sequence[_Named],
    new: Sequence[_Named],
    kinds: tuple[K, K, K],
    matters: tuple[str, ...],
    language: str,
) -> Iterator[Change]:
    """What was added, removed, or changed in one of the words that matter."""
    added, removed, changed = kinds
    were = {one.key: one for one in old}
    for one in new:
        was = were.pop(one.key, None)
        title = one.title.get(language)
        if was is None:
            yield said(added, one.key, language, title=title)
        elif any(getattr(was, word) != getattr(one, word) for word in matters):
            yield said(changed, one.key, language, title=title)
    for key, gone in were.items():
        yield said(removed, key, language, title=gone.title.get(language))


def _on(prices: Sequence[_Priced], on: date) -> Decimal | None:
    return next((one.amount for one in prices if one.holds(on)), None)


def _eur(value: Decimal | None, language: str) -> str:
    """A dash where nothing holds that day."""
    return "–" if value is None else amount(value, language)


# --- in words ---------------------------------------------------------------------------------


Look = Callable[[Definition, Definition, date, str], Iterator[Change]]
_LOOKS: tuple[tuple[tuple[str, ...], Look], ...] = (
    (("form",), _form),
    (("documents",), _documents),
    (("catalogue",), _catalogue),
    (("benefits",), _benefits),
    (("rules",), _rules),
    (("checks",), _checks),
    (("term",), _term),
)
"""Which parts of a definition are looked at closely."""
