"""The report of an evaluation: report.html, results.json and table.tex, from the results of evaluate.py.

All numbers are those of the results; nothing is computed here but what is drawn. The page is one file, without script and
without references to anything outside itself, so it opens from disk and can be sent on.
"""

from pathlib import Path


def write_report(folder, results, files, other=None, examples=24):
    """Write report.html, results.json and table.tex into folder, all three or none; returns their paths.

    results: as evaluate.py makes them. files: of each of results["studies"] {condition: metrics.caption_files.Captions},
    which the examples are from. other: of `read_beside`, whose scores stand beside, or None; examples: how many a study.
    Raises InputError where a file that the models left is broken; one that is gone becomes a note.
    """
    import json
    from contextlib import ExitStack

    from runtime.runs import atomic_path

    from .latex import tables
    from .page import render_page

    folder = Path(folder)
    # What JSON can hold and UTF-8 cannot, such as half a surrogate pair, becomes a character reference or "?".
    contents = {"report.html": render_page(results, files, other, examples, folder).encode(errors="xmlcharrefreplace"),
                "results.json": (json.dumps(results, indent=2, default=str) + "\n").encode(),
                "table.tex": tables(results).encode(errors="replace")}
    with ExitStack() as stack:  # they take their names together, once all are written
        for name, content in contents.items():
            stack.enter_context(atomic_path(folder / name)).write_bytes(content)
    return [folder / name for name in contents]


def read_beside(path):
    """(name, results) of another results.json; InputError where it is none."""
    from runtime.errors import InputError
    from runtime.runs import read_json

    from evaluation.results import FORMAT

    other = read_json(path)
    if other.get("format") != FORMAT or not other.get("studies"):
        raise InputError(f"--beside {path}: format {other.get('format')!r} with {len(other.get('studies') or [])} studies, "
                         f"expected {FORMAT!r}; give a results.json that evaluate.py --report wrote")
    for place, study in enumerate(other["studies"]):
        try:
            whole = all(isinstance(study[key], str) for key in ("name", "claim")) and all(
                isinstance(one["condition"], str) and isinstance(one["kind"], str)
                and all(isinstance(score, dict) for score in one["scores"].values()) for one in study["conditions"])
        except (TypeError, KeyError, AttributeError):
            whole = False
        if not whole:
            raise InputError(f"--beside {path}: study {place} is damaged; expected a name, a claim and conditions with "
                             "scores, as evaluate.py --report writes; write it again")
    return str(path), other
