"""The report of an evaluation: report.html, results.json and table.tex, from the results of evaluate.py.

All numbers are those of the results; nothing is computed here but what is drawn. The page is one file, without script and
without references to anything outside itself, so it opens from disk and can be sent on.
"""

from pathlib import Path

RESULTS_FORMAT = "eeg-to-text results 1"


def write_report(folder, results, files, beside=None, examples=24):
    """Write report.html, results.json and table.tex into folder; returns their paths.

    results: as evaluate.py makes them. files: of each of results["studies"] {condition: metrics.caption_files.Captions},
    which the examples are from. beside: path of another results.json, whose scores stand beside; examples: how many a
    study. Raises InputError where beside, or a file that the models left, is broken; one that is gone becomes a note.
    """
    from runs import write_json

    from .latex import tables
    from .page import write_page

    folder = Path(folder)
    other = read_beside(beside) if beside else None
    write_page(folder / "report.html", results, files, other, examples)
    write_json(folder / "results.json", results)
    write_text(folder / "table.tex", tables(results))
    return [folder / name for name in ("report.html", "results.json", "table.tex")]


def read_beside(path):
    """(name, results) of another results.json; InputError where it is none."""
    from errors import InputError
    from runs import read_json

    other = read_json(path)
    if other.get("format") != RESULTS_FORMAT or not other.get("studies"):
        raise InputError(f"--beside {path}: format {other.get('format')!r} with {len(other.get('studies') or [])} studies, "
                         f"expected {RESULTS_FORMAT!r}; give a results.json that evaluate.py --report wrote")
    return str(path), other


def write_text(path, text):
    from runs import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
