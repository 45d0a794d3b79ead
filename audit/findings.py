"""Findings of the audit."""

from dataclasses import dataclass, field

SEVERITIES = ("severe", "warning", "note", "not checked", "passed")  # worst first


@dataclass
class Finding:
    """The result of one check.

    check: a short title, such as "Slow drift"; severity: one of SEVERITIES; sentence: what was found, and what it means for
    a result; numbers: JSON-like, the accuracies, p-values, counts and names behind the sentence.
    """

    check: str
    severity: str
    sentence: str
    numbers: dict = field(default_factory=dict)
