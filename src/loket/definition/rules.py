"""Conditions, and what is said where they are not met."""

from typing import Annotated

from pydantic import Field

from loket.definition.shape import Key, Shape, Text


class Rule(Shape):
    """A condition in CEL over `rules.Facts`: true is met, false is not met, 'REFER' asks a person."""

    key: Key
    """Name of the rule: a refusal is recorded by it."""
    title: Text
    """What the rule asks; a handler reads it."""
    when: Annotated[str, Field(min_length=1, max_length=600)]
    """The condition."""
    message: Text
    """Why not, in plain words for the applicant."""
    fact: Text
    """Motivation in fact (wet 29 juli 1991): what was found."""
    legal: Text
    """Motivation in law: which article asks it."""


class Rules(Shape):
    """Conditions, each with what is said where it is not met."""

    screening: tuple[Rule, ...] = ()
    """May this application be handled at all (ontvankelijkheid)."""
    approval: tuple[Rule, ...] = ()
    """May it be granted: decides where `decision: {by: rule}`, else it is what is proposed."""
