"""CEL, the language of rules in definitions, without the terminal that its package brings along.

`import cel` loads a command line too, with colours, completion and a history: 11 MB in every process. So the
compiled part is loaded by itself, under its own name: `from loket.expressions import cel`.
"""

import importlib.util
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

_COMPILED = "cel.cel"


def _compiled() -> ModuleType:
    if _COMPILED in sys.modules:
        return sys.modules[_COMPILED]
    package = importlib.util.find_spec("cel")
    assert package is not None
    found = PathFinder.find_spec(_COMPILED, package.submodule_search_locations)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[_COMPILED] = module  # whoever imports all of `cel` later gets the same
    found.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    import cel as cel
else:
    cel = _compiled()
