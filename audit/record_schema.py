"""The form of audit.json, from which a run's report takes the findings."""

from typing import Literal

from runtime.schema import Schema, Text

from .findings import SEVERITIES


class FindingEntry(Schema):
    """audit.findings.Finding."""

    check: Text
    severity: Literal[SEVERITIES]
    sentence: Text
    numbers: dict[Text, object]


class Audit(Schema):
    findings: list[FindingEntry]
