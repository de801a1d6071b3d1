"""The lists of the minutes package that its administrator keeps: who may propose, under which heading.

Lindebeke's own stand in `minutes_lists.json`; the section `minutes` of the configuration can name others
(`organisations`, `categories`), and the administrator adds to them at `/sim/organisations` and
`/sim/categories`. What stands nowhere is refused, as the real package does.
"""

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loket.sandbox.orders import Wrong
from loket.sandbox.state import State

_OWN: Mapping[str, Any] = json.loads(Path(__file__).with_name("minutes_lists.json").read_text("utf-8"))
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""How Plone writes an id."""


class Lists:
    """Organisations and categories, as they are now."""

    def __init__(self, section: Mapping[str, Any], state: State) -> None:
        self._state = state
        self._organisations: Mapping[str, str] = section.get("organisations", _OWN["organisations"])
        self._categories: Mapping[str, str] = section.get("categories", _OWN["categories"])

    def organisations(self) -> dict[str, tuple[str, str]]:
        """Id → UID and title."""
        return {name: (uid_of(name), title) for name, title in self._all("organisation").items()}

    def categories(self) -> dict[str, str]:
        """Id → title."""
        return self._all("category")

    def add(self, kind: str, name: str, title: str) -> dict[str, str]:
        """An organisation or a category of one's own. Raises `Wrong`."""
        if not _ID.fullmatch(name):
            raise Wrong("id: small letters and digits, with hyphens between them")
        if name in self._all(kind):
            raise Wrong(f"there is such a {kind}", 409)
        added = {"id": name, "title": title.strip() or name}
        self._state.put(kind, name, added)
        return added

    def _all(self, kind: str) -> dict[str, str]:
        own = self._organisations if kind == "organisation" else self._categories
        return dict(own) | {one["id"]: one["title"] for one in self._state.all(kind)}


def uid_of(organisation: str) -> str:
    """What Plone calls it in its own books."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"plonegroup-organization/{organisation}").hex
