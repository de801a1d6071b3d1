"""The way back from the parts of a case to the case, which itself is built out of them."""

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from loket.api.objects.cases import Case

ItsCase = Annotated["Case", strawberry.lazy("loket.api.objects.cases")]
