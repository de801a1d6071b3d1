"""The blueprint's columns, with their rows."""

from loket.definition.shape import Key, Shape, Text
from loket.lifecycle import EventType, Stage


class Phase(Shape):
    """One column of the blueprint (fase), with its rows, and what of the machine belongs to it."""

    key: Key
    title: Text
    drafts: bool = False
    """The phase that begins when somebody starts an application."""
    stages: tuple[Stage, ...] = ()
    events: tuple[EventType, ...] = ()
    """Events that belong here whatever the stage they happen in."""
    interaction_point: Text
    medium: tuple[Text, ...]
    front_office: Text
    back_office: Text
    difference: Text | None = None
