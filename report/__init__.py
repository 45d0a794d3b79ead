"""The report of an evaluation: report.html, results.json, table.tex and index.md, from the results of evaluate.py.

All numbers are those of the results. The page is one file without scripts and without references to other files, so it can
be opened from disk and sent by mail.
"""

from pathlib import Path

FILES = ("report.html", "results.json", "table.tex", "index.md")


def write_report(folder: str | Path, results: dict, files: list[dict], other: tuple[str, dict] | None = None,
                 examples: int = 24) -> list[Path]:
    """Write FILES into folder, all or none; returns their paths.

    results: as evaluate.py makes them. files: for each of results["studies"] {condition: metrics.caption_files.Captions},
    from which the examples are taken. other: from read_beside, shown beside the results, or None. examples: their number in
    each study. Raises InputError where a file in the models' folders is broken; a missing file becomes a note.
    """
    import json
    from contextlib import ExitStack

    from runtime.atomic_files import atomic_path

    from .index import index
    from .latex import tables
    from .page import render_page

    folder = Path(folder)
    # JSON can hold what UTF-8 cannot, such as half a surrogate pair; it becomes a character reference or "?".
    claims = [study["claim"] for study in results["studies"]]
    contents = (render_page(results, files, other, examples).encode(errors="xmlcharrefreplace"),
                (json.dumps(results, indent=2, default=str) + "\n").encode(), tables(results).encode(errors="replace"),
                index(folder, results["title"], claims, FILES).encode(errors="replace"))
    with ExitStack() as stack:  # they take their names together, once all are written
        for name, content in zip(FILES, contents, strict=True):
            stack.enter_context(atomic_path(folder / name)).write_bytes(content)
    return [folder / name for name in FILES]


def read_beside(path: str | Path, flag: str = "--beside") -> tuple[str, dict]:
    """(name, results) of another results.json; InputError where the file is not one. flag: the option that named it."""
    from runtime.runs import read_json
    from runtime.schema import check

    from .schema import Results

    return str(path), check(Results, read_json(path), f"{flag} {path}", "give a results.json that evaluate.py --report "
                            "wrote, or write it again")
