"""Text and CSV files: one place that writes them and one that reads them, so that both agree on free text.

Text is UTF-8 without a byte order mark. Files of other people are read as their editors save them: with a mark, as UTF-16
(Windows Notepad, Excel), with the line ends of any system.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from runtime.errors import InputError

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# what spreadsheets run, also in full width (OWASP, CSV injection); apostrophes: what guarded() writes
FORMULA = re.compile("'*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.I)
MAX_DEPTH = 100  # of lists and objects in JSON
ADVICE = "get the file again, or save it as UTF-8 text"


def read_text(path: str | Path, what: str | None = None, advice: str = ADVICE) -> str:
    """The text of a file without byte order mark, its lines ended by \\n alone.

    what: the name of the file in messages, such as its flag and path; advice: the end of that on bytes that are no text,
    which is an InputError. A file that is not there or cannot be opened raises OSError.
    """
    what = what or str(path)
    try:
        text = _decoded(Path(path).read_bytes())
    except UnicodeDecodeError as error:
        raise InputError(f"{what}: not UTF-8 text (byte {error.start} is no text); {advice}") from None
    if "\0" in text:
        raise InputError(f"{what}: not UTF-8 text (contains zero bytes); {advice}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path, what: str | None = None) -> list[str]:
    """The lines of `read_text`. Only line ends divide them, not the other characters at which str.splitlines does."""
    return read_text(path, what).removesuffix("\n").split("\n")


def parse_json(text: str | bytes) -> object:
    """What JSON says. ValueError for text that is none, also where numbers are too long, or lists and objects stand so deep
    in each other that reading or copying them would exceed Python's stack."""
    try:
        content = json.loads(text)
    except RecursionError:
        content, level = None, True
    else:
        level = [content]
        for _ in range(MAX_DEPTH):
            level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
                     if isinstance(inner, dict | list)] if isinstance(content, dict | list) else []
    if level:
        raise ValueError(f"lists or objects stand more than {MAX_DEPTH} deep in each other")
    return content


def _decoded(content, errors="strict"):
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, errors)
    return content.decode("utf-8", errors)


def write_csv(path: str | Path, columns: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV as `read_csv` reads it; None and NaN become empty cells.

    A text that a spreadsheet would run as a formula, such as "=1+1" or "-x", gets an apostrophe before it, which
    `unguarded` takes away. Any text can stand in a cell, also half a surrogate pair, as a file name of another encoding
    holds.
    """
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = csv.writer(_Rows(file))
        table.writerow(map(guarded, columns))  # a confusion matrix has class names there
        table.writerows([None if cell != cell else guarded(cell) for cell in row] for row in rows)


def guarded(cell: object) -> object:
    """The cell as write_csv writes it: with an apostrophe before what a spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if cell[:1] == "'" and guarded(cell[1:]) == cell else cell


class _Rows:
    """What a csv.writer writes to: each row ends in \\n, but the writer takes \\r\\n for the end, so that it puts quotes
    around a cell with either of them."""

    def __init__(self, file):
        self.file = file

    def write(self, row):
        self.file.write(row.removesuffix("\r\n") + "\n")


def read_csv(path: str | Path) -> tuple[list[str], list[list[str]]]:
    """(column names, rows of as many cells) of a comma-separated file, ours or another program's, as text.

    Columns without a name, such as the row numbers that pandas writes, are left out. InputError for a file that is no such
    table; one that is not there or cannot be opened raises OSError.
    """
    try:
        rows = list(csv_rows(_decoded(Path(path).read_bytes(), "surrogatepass")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV ({error}); expected comma-separated UTF-8 text") from None
    if not rows:
        raise InputError(f"{path}: not readable as CSV (no header line); expected comma-separated UTF-8 text")
    columns = rows[0][1]
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice:
        raise InputError(f"{path}: column {twice} is there twice; expected each column once")
    for line, cells in rows[1:]:
        if len(cells) != len(columns):
            raise InputError(f"{path}, line {line}: not readable as CSV ({len(cells)} cells, expected {len(columns)} as in "
                             "the header); the file is damaged or cut short")
    named = [place for place, name in enumerate(columns) if name]
    return [columns[i] for i in named], [[cells[i] for i in named] for _, cells in rows[1:]]


def csv_rows(text: str, delimiter: str = ",", skip_blanks: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each row of a CSV that is not blank; csv.Error for quotes that do not close.
    skip_blanks: blanks before a cell, or before the quote that opens it, are no part of it.

    The header's line end ends all rows. A single \\r elsewhere is part of a cell: many programs write it without quotes.
    """
    end = re.search(r"\r\n?|\n", text)
    hidden = "\r"
    if end and end[0] != "\r":  # csv takes each \r outside of quotes for the end of a row
        hidden = next(mark for mark in map(chr, range(0xE000, 0x110000)) if mark not in text)
        text = re.sub(r"\r(?!\n)", hidden, text)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader, before = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=skip_blanks,
                                strict=True), 0
    for cells in reader:
        if cells:
            yield before + 1, [cell.replace(hidden, "\r") for cell in cells]
        before = reader.line_num
