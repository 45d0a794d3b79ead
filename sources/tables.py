"""Tables that people write: TSV or CSV with a header line, each cell's line known for messages."""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from runtime.errors import InputError
from runtime.text_files import csv_rows, read_text

CAPTION = re.compile(r"caption\d*")
MISSING = ("", "n/a", "N/A")  # BIDS writes n/a
NO_CAPTION = ("na", "nan", "<na>", "none", "null")  # what pandas, R and databases write for a missing cell, in any case


def plain_text(text: object) -> str:
    """Text without blanks around it, in Unicode's composed form (NFC): one name has one spelling."""
    return unicodedata.normalize("NFC", str(text)).strip()


def read_table(path: Path | str, flag: str,
               needed: Sequence[str] = ()) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """(column names, [(line number, {column: text, "" where missing})]) of a table.

    `.csv` files have commas between cells, or semicolons as some spreadsheets write; others have tabs. Raises InputError
    for a file that is no such table or lacks a column of `needed`.
    """
    path = Path(path)
    try:
        text = read_text(path, f"{flag} {path}")
    except FileNotFoundError:
        raise InputError(f"{flag} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{flag} {path}: is a folder, expected a table (.tsv)") from None
    comma, head = path.suffix.lower() == ".csv", text.split("\n", 1)[0]
    separator = "\t" if not comma else ";" if ";" in head and "," not in head else ","
    try:
        rows = list(csv_rows(text, separator, skip_blanks=True) if comma else
                    enumerate((line.split("\t") for line in text.split("\n")), 1))
    except csv.Error as error:
        raise InputError(f"{flag} {path}: not readable as CSV ({error}); close each quote, and write a quote inside a cell "
                         "twice") from None
    unquoted = plain_text if comma else _unquoted
    rows = [(number, [unquoted(plain_text(cell)) for cell in cells]) for number, cells in rows]
    columns = rows[0][1] if rows and rows[0][0] == 1 else []
    expected = f"columns {', '.join(needed)}" if needed else "a header line of column names"
    between = "commas" if comma else "tabs"
    if not any(name and name.isascii() for name in columns) or len(set(columns)) < len(columns):  # all known ones are ASCII
        raise InputError(f"{flag} {path}, line 1: found {', '.join(columns)[:200] or 'nothing'}; expected {expected}, each "
                         f"once, with {between} between them, as UTF-8 text")
    if len(columns) == 1 and not comma and ("," in columns[0] or ";" in columns[0]):
        raise InputError(f"{flag} {path}, line 1: found one cell only, {columns[0][:200]}; expected tabs between the "
                         "cells, or commas in a file that ends in .csv")
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(f"{flag} {path}, line 1: column {', '.join(missing)} is missing (found "
                         f"{', '.join(columns)[:200]}); expected {expected}, with {between} between them")
    table = []
    for number, cells in rows[1:]:
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise InputError(f"{flag} {path}, line {number}: {len(cells)} cells, expected {len(columns)} as in the header, "
                             f"with {between} between them")
        table.append((number, {name: "" if cell in MISSING else cell for name, cell in zip(columns, cells, strict=True)}))
    return columns, table


def _unquoted(cell):
    """A cell without the quotes that spreadsheets put around it, and around each of its own."""
    inner = cell[1:-1].replace('""', "") if len(cell) > 1 and cell[0] == cell[-1] == '"' else '"'
    return cell if '"' in inner else cell[1:-1].replace('""', '"')


def first_of(row: dict[str, str], names: Iterable[str]) -> str:
    """The first cell of `names` that says something, else ""."""
    return next((row[name] for name in names if row.get(name)), "")


class Captions:
    """How tables say things: which columns hold captions (caption, caption1, caption2, ..., or those that --caption_columns
    names), which one pictures (None: the usual names), and how many seconds an onset of 1 is."""

    def __init__(self, columns: Sequence[str] = (), picture: str | None = None, onset_unit: float = 1.):
        self.given, self.seen, self.picture, self.onset_unit = tuple(columns), set(), picture, onset_unit

    def of(self, columns: Sequence[str], place: str) -> Callable[[dict[str, str]], tuple[str, ...]]:
        """A function from a row of a table to its captions; columns: the table's; place: its flag and file."""
        names = [name for name in columns if (name in self.given if self.given else CAPTION.fullmatch(name))]
        self.seen.update(names)
        others = [name for name in columns if name.lower().startswith("caption") and name not in names]
        if others and not self.given:
            print(f"{place}: {', '.join(others)} not read as captions, only caption, caption1, caption2, ... are; "
                  "--caption_columns names others")
        told = set()

        def captions_of(row):
            texts = [row[name] for name in names if row[name]]
            for text in dict.fromkeys(each for each in texts if each.casefold() in NO_CAPTION and each not in told):
                told.add(text)
                print(f"{place}: '{text}' in a column of captions is taken for a missing one")
            return tuple(each for each in texts if each.casefold() not in NO_CAPTION)

        return captions_of

    def check(self) -> None:
        """Raise InputError for a column of --caption_columns that no table had."""
        missing = [name for name in self.given if name not in self.seen]
        if missing:
            raise InputError(f"--caption_columns {','.join(self.given)}: no table has the column {missing[0]}; correct the "
                             "name, or leave it out")
