"""What a bank does with payment files: reads a pain.001, answers with a pain.002."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree
from lxml.etree import _Element

from loket.sandbox.accounting_notation import instant
from loket.sandbox.contract import Json

SET = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
"""What SEPA banks pass on."""
STATUS = {"EXECUTED": "ACSC", "REJECTED": "RJCT"}


@dataclass(frozen=True)
class PaymentFile:
    """A pain.001 with one transfer, as its texts stand there."""

    message_id: str
    end_to_end_id: str
    amount: str
    iban: str
    name: str
    day: str
    reference: str

    def differences(self, order: Json) -> list[str]:
        """Where the file says something else than the order, in Dutch."""
        wanted = {
            "EndToEndId": (self.end_to_end_id, order["endToEndId"]),
            "bedrag": (self.amount, order["amount"]),
            "rekening": (self.iban, order["creditor"]["iban"]),
            "uitvoeringsdatum": (self.day, order["requestedOn"]),
            "gestructureerde mededeling": (self.reference, order.get("structuredReference", "")),
        }
        return [
            f"{what} verschilt van de opdracht" for what, (there, here) in wanted.items() if there != here
        ]


def read(version: str, content: str) -> PaymentFile:
    """The one transfer in a file (base64), held to what a bank checks first. Raises `ValueError`."""
    try:
        xml = base64.b64decode(content, validate=True)
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        root: _Element = etree.fromstring(xml, parser)
    except (binascii.Error, etree.XMLSyntaxError) as fault:
        raise ValueError("het betaalbestand is onleesbaar") from fault
    space = f"urn:iso:std:iso:20022:tech:xsd:{version}"
    if root.tag != f"{{{space}}}Document":
        raise ValueError(f"het betaalbestand is geen {version}")
    names = {"p": space}

    def texts(path: str) -> list[str]:
        return [one.text or "" for one in root.iterfind(f"p:CstmrCdtTrfInitn/{path}", names)]

    def one(path: str) -> str:
        found = texts(path)
        if len(found) != 1:
            raise ValueError(f"{path.replace('p:', '')} staat er {len(found)} keer")
        return found[0]

    transfer = "p:PmtInf/p:CdtTrfTxInf"
    day = "p:PmtInf/p:ReqdExctnDt/p:Dt" if version.endswith(".09") else "p:PmtInf/p:ReqdExctnDt"
    file = PaymentFile(
        message_id=one("p:GrpHdr/p:MsgId"),
        end_to_end_id=one(f"{transfer}/p:PmtId/p:EndToEndId"),
        amount=one(f"{transfer}/p:Amt/p:InstdAmt"),
        iban=one(f"{transfer}/p:CdtrAcct/p:Id/p:IBAN"),
        name=one(f"{transfer}/p:Cdtr/p:Nm"),
        day=one(day),
        reference="".join(texts(f"{transfer}/p:RmtInf/p:Strd/p:CdtrRefInf/p:Ref")),
    )
    if texts("p:GrpHdr/p:NbOfTxs") != ["1"] or texts("p:GrpHdr/p:CtrlSum") != [file.amount]:
        raise ValueError("aantal of controlesom klopt niet")
    if one("p:GrpHdr/p:InitgPty/p:Id/p:OrgId/p:Othr/p:Issr") != "KBO-BCE":
        raise ValueError("de opdrachtgever heeft geen ondernemingsnummer")
    for text in (file.message_id, file.end_to_end_id, file.name, *texts(f"{transfer}/p:RmtInf/p:Ustrd")):
        if not text or not set(text) <= SET:
            raise ValueError("het betaalbestand heeft tekens buiten de SEPA-set")
    if max(len(file.message_id), len(file.end_to_end_id)) > 35 or len(file.name) > 70:
        raise ValueError("een naam of nummer is te lang")
    return file


def report(order: Json, message_id: str, status: str, data: dict[str, Any]) -> bytes:
    """The bank's pain.002 about one order, in the version that goes with the order's file."""
    asked = order["pain001"]["version"]
    version = "10" if asked.endswith(".09") else "03"
    code = data.get("reasonCode")
    words = f"<AddtlInf>{escape(data['reason'])}</AddtlInf>" if data.get("reason") else ""
    why = f"<StsRsnInf><Rsn><Cd>{escape(code)}</Cd></Rsn>{words}</StsRsnInf>" if code else ""
    amount = f'<Amt><InstdAmt Ccy="EUR">{order["amount"]}</InstdAmt></Amt>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><CstmrPmtStsRpt>'
        f"<GrpHdr><MsgId>R{order['endToEndId'][:34]}</MsgId><CreDtTm>{instant()}</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{escape(message_id)}</OrgnlMsgId>"
        f"<OrgnlMsgNmId>{asked}</OrgnlMsgNmId></OrgnlGrpInfAndSts>"
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escape(message_id)}</OrgnlPmtInfId><TxInfAndSts>"
        f"<OrgnlEndToEndId>{escape(order['endToEndId'])}</OrgnlEndToEndId><TxSts>{STATUS[status]}</TxSts>{why}"
        f"<OrgnlTxRef>{amount}</OrgnlTxRef></TxInfAndSts></OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    ).encode()
