"""The conditions that most filters have."""

from loket.api.naming import Field
from loket.api.reads import condition


def equal(text: str, name: str) -> Field:
    """Rows whose column `name` is what the client gives."""
    return condition(text, f"{{t}}.{name} = {{value}}")


def among(text: str, name: str) -> Field:
    """Rows whose column `name`, a text, is one of what the client gives."""
    return condition(text, f"{{t}}.{name} = ANY({{value}}::text[])")
