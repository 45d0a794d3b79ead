"""index.md of a run's folder: what each file is."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

CONTENTS = {  # file or folder: what it is
    "report.html": "the report: what may be claimed, scores, examples, when and where in the EEG the information lies",
    "results.json": "all numbers of the report, and how it was made",
    "table.tex": "the main scores as a LaTeX table",
    "scores.png": "the scores as a chart",
    "audit.json": "what the audit of the data found",
    "data/audit.html": "the audit of the data: leaks, damage, evoked responses",
    "data/dataset.json": "what the data set is; with `trials/`, `images/` and `splits.pth` beside it",
    "results/captions.csv": "the captions that the model wrote from the EEG of the test trials",
    "results": "captions under every condition, each with a record of how it was made",
    "eeg_encoder": "stage 1: the trained EEG encoder",
    "eeg_encoder/test/scores.json": "its scores on the test part",
    "captioner": "stages 2 and 3: the trained projector and adapter; `--model_path` takes this folder",
    "stage2": "what stage 2 made, kept so that it need not be made again",
    "clip": "the small CLIP model that embeds the pictures",
    "cache": "picture embeddings, which can be made again",
}


def index(folder: Path, title: str, claims: list[str], written: Iterable[str]) -> str:
    """The index of a folder as Markdown: the claims, then what is there. written: names of files that are about to be."""
    said = [f"> {_plain(' '.join(claim.split()))}\n" for claim in claims]
    lines = [f"# {_plain(title)}", "", *said, "| file | what it is |", "|---|---|"]
    lines += [f"| [{name}]({name}) | {text} |" for name, text in CONTENTS.items()
              if name in written or (folder / name).exists()]
    return "\n".join(lines) + "\n"


def _plain(text):
    """Text of which Markdown makes no HTML and no link: names of classes and folders are others' words."""
    return escape(text, quote=False).replace("](", "]\\(")
