"""A scripted citizen and civil servant walk a procedure from end to end, as an integrator would.

They know Loket by its public API and the outside world by what the sandbox shows: no verb, no record and no
table is within their reach.
"""

from loket.walk.command import main

__all__ = ["main"]
