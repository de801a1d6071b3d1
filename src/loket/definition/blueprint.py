"""The blueprint's columns, with their rows."""

from loket.definition.shape import Key, Shape, Text
from loket.lifecycle import EventType, Stage


class Phase(Shape):
    """One column of the blueprint (fase), with its rows, and what of the machine belongs to it."""

    key: Key
    """Name of the column; stays the same over versions."""
    title: Text
    """Head of the column."""
    drafts: bool = False
    """The phase that begins when somebody starts an application."""
    stages: tuple[Stage, ...] = ()
    """Stages that belong to it; each stage of the procedure stands in one phase."""
    events: tuple[EventType, ...] = ()
    """Events that belong here whatever the stage they happen in."""
    interaction_point: Text
    """What the citizen does and meets (interactiepunt)."""
    medium: tuple[Text, ...]
    """Through what: website, counter, Mijn Burgerprofiel, telephone."""
    front_office: Text
    """What happens at the counter or on the website."""
    back_office: Text
    """What the municipality does, or leaves to machines."""
    difference: Text | None = None
    """What got better by this blueprint (verschil)."""
