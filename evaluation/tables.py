"""All caption files in one table, as JSON and as CSV."""

import json
from collections.abc import Iterable
from pathlib import Path

from runtime import text_files
from runtime.atomic_files import atomic_path

from metrics.caption_files import Captions

from .scoring import summary

MAIN_METRICS = ("ROUGE-1", "BLEU-1", "BLEU-4", "BLEU", "ROUGE-L", "METEOR", "CIDEr", "BERTScore", "Object accuracy")
MAX_MAIN_METRICS = 6


def without_bleu_twin(metrics: Iterable[str]) -> list[str]:
    """The metrics in their order, without BLEU where BLEU-4 has the same numbers."""
    return [metric for metric in metrics if metric != "BLEU" or "BLEU-4" not in metrics]


def main_metrics(metrics: Iterable[str], headline: str) -> list[str]:
    """Those of the metrics that short tables show, the headline metric first."""
    metrics = list(metrics)
    return [name for name in dict.fromkeys((headline, *MAIN_METRICS)) if name in metrics][:MAX_MAIN_METRICS]


def write_json_scores(path: str | Path, files: list[Captions]) -> None:
    """Scores, intervals and comparisons as JSON, keyed by file name."""
    content = {file.key: summary(file) for file in files}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | Path, files: list[Captions]) -> None:
    """One row for each file: its scores, their intervals and, where compared, differences and p."""
    rows = []
    for file in files:
        row = {"file": file.key, "condition": file.condition, "n": len(file.table)}
        for metric, mean in file.means().items():
            low, high = file.interval[metric]
            row |= {metric: mean, f"{metric} 95% low": low, f"{metric} 95% high": high}
            if file.against and metric in file.against:
                row |= {f"{metric} {name}": value for name, value in file.against[metric].items()}
        rows.append(row | ({"against": file.against["file"]} if file.against else {}))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_path(path) as temporary:
        text_files.write_csv(temporary, columns, ([row.get(column) for column in columns] for row in rows))
