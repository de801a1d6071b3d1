"""What is told to DOSIS."""

from loket.definition.shape import Shape, Text

DOSIS_PHASES = ("Samenstelling", "Behandeling", "Beslissing", "Beroep", "Uitvoering", "Afgerond")
# fmt: off
DOSIS_CODES = frozenset({
    "Geinitieerd", "Aangevraagd", "Ingediend",
    "DossierOnvolledig", "DossierVolledig", "Ontvankelijk", "OnOntvankelijk", "InBehandeling",
    "KlaarVoorBeslissing",
    "InWacht", "Beslist", "Goedgekeurd", "DeelsGoedgekeurd", "Geweigerd", "Stopgezet", "Stopzetting",
    "KlaarVoorBetaling", "Betaald", "DeelsUitbetaald", "Uitgevoerd",
    "ErkendVergund", "Aktename", "Gepland", "InOpenbaarOnderzoek", "VoorlopigVastgesteld",
    "DefinitiefVastgesteld", "GerechtelijkIngeleid",
})
# fmt: on
"""VlaamsCode and VlaamsFase as DOSIS's connector and sample messages know them."""


class DosisRow(Shape):
    """What Mijn Burgerprofiel shows after an event."""

    code: str
    """What happened, as DOSIS codes it (VlaamsCode)."""
    phase: str
    """How far the case is, as DOSIS codes it (VlaamsFase)."""
    action: Text | None = None
    """What the citizen has to do (ActieNodig)."""
    detail: Text | None = None
    """What the citizen reads beside the status."""
