"""Caption CSVs: reading them, giving each a unique short name, pairing their rows.

The columns are those of the predecessors' files, `COLUMNS`; ours add trial, subject, session, recording, image, split,
condition, prompt, probability and model, where pictures have several captions `references`, and a record of how the
captions were made, `<file>.json`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.names import HALF
from runtime.runs import read_json
from runtime.text_files import parse_json, read_csv, unguarded

import numpy as np
from numpy.typing import ArrayLike

from metrics.conditions import NAMES
from metrics.means import shares, weighted_mean

REFERENCES = "references"  # all true captions of the picture as a JSON list, where pictures have several
COLUMNS = ("Ground Truth Image", "Expected object", "Predicted object", "Expected Caption", "Generated Caption")
ABSTAINED = "no confident reading"  # inference.py --abstain_below writes it in place of a caption
RECORD_FORMAT = "eeg-to-text captions 1"
NUMBERED = ("trial", "subject", "session", "recording")  # columns of numbers, or of names
WHOLE = re.compile(r"^(\d+)\.0+$")  # as pandas writes whole numbers of a column that lacks one
CONSTANT_COLUMNS = ("condition", "model", "prompt", "split")


def class_key(name: str) -> str:
    """A class name as it is compared with others: in any case and spacing, as a model may know a `Dog` as `dog`."""
    return " ".join(name.split()).casefold()


@dataclass
class Captions:
    """One CSV: its rows and their scores.

    record: how the captions were made, as inference.py wrote it beside them; None for a predecessor's file.
    """

    path: Path
    table: object  # pandas DataFrame of strings, an empty cell is ""
    condition: str | None
    record: dict | None = None
    key: str = ""  # the file name, with as many of its folders as tell it from the others
    source: str = ""  # how the captions were made, if they are not from a file
    cleaning: str | None = None  # how they were cleaned: --cleaning, or what the protocol chose for them
    clean: list | None = None  # generated captions without what the model wrote around them, as they are scored
    scores: object = None  # pandas DataFrame [n, metrics], one column each metric
    units: dict = field(default_factory=dict)  # metric -> [n] what counts once in its mean; metrics not named: each row
    headline: object = None  # [n] the metric that claims rest on
    corpus: dict = field(default_factory=dict)  # measures of all captions together
    interval: dict = field(default_factory=dict)  # metric -> (low, high)
    against: dict | None = None
    judged: object = None  # metrics.judge.JudgeResult of its rows
    notes: list = field(default_factory=list)

    @property
    def clusters(self) -> np.ndarray:
        """Picture of each row: [n]."""
        return self.table["image" if self._names_pictures else COLUMNS[0]].to_numpy()

    @property
    def pictures(self) -> set[str]:
        """The names of the pictures, as a data set has them. A name may hold a dot; a path ends in a suffix."""
        return set(self.clusters) if self._names_pictures else {Path(path).stem for path in self.clusters}

    @property
    def _names_pictures(self):
        return "image" in self.table and (self.table["image"] != "").all()

    @property
    def people(self) -> np.ndarray | None:
        """Person of each row: [n]; None where some row names none."""
        named = "subject" in self.table and (self.table["subject"] != "").all()
        return self.table["subject"].to_numpy() if named else None

    @property
    def sittings(self) -> np.ndarray:
        """Person, session and recording of each row, as far as they are known, as one name: [n]."""
        known = [column for column in ("subject", "session", "recording") if column in self.table]
        return np.array(["/".join(row) for row in self.table[known].to_numpy()] if known else [""] * len(self.table))

    @property
    def factors(self) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """What intervals resample: pictures, crossed with the people who saw them where these are known."""
        return self.clusters if self.people is None else (self.clusters, self.people)

    def weights(self, metrics: Iterable[str], rows: ArrayLike = slice(None)) -> np.ndarray:
        """How much each of `rows` counts in the mean of each metric over just these rows: [rows, metrics]."""
        alone = np.arange(len(self.table))
        return np.stack([shares(self.units.get(metric, alone)[rows]) for metric in metrics], axis=1)

    def means(self) -> object:
        """Mean of each metric as all tables show it, a pandas Series; its interval and tests use the same weights."""
        import pandas as pd

        return pd.Series(weighted_mean(self.scores, self.weights(self.scores)), index=self.scores.columns)

    def texts(self, column: str) -> list[str]:
        """A column as a list."""
        return self.table[column].tolist()

    def table_with(self, column: str, texts: list[str]) -> object:
        """A copy of the table with other texts in a column. pandas would make strings of its own of them, which cannot hold
        half a surrogate pair."""
        import pandas as pd

        return self.table.assign(**{column: pd.Series(texts, index=self.table.index, dtype=object)})

    def classes(self, column: str) -> list[str]:
        """The class names of a column as they are compared: class_key of each row."""
        return [class_key(name) for name in self.texts(column)]

    @property
    def references(self) -> list[str]:
        """The first true caption of each row, without the byte order mark that the predecessors' scripts left in them."""
        return [text.removeprefix("\ufeff") for text in self.texts(COLUMNS[3])]

    @property
    def all_references(self) -> list[list[str]]:
        """All true captions of each row."""
        if REFERENCES not in self.table:
            return [[text] for text in self.references]
        return [parse_json(cell) for cell in self.table[REFERENCES]]

    @property
    def without_classes(self) -> bool:
        """Whether no row has a predicted class: the model names none."""
        return not any(cell.strip() for cell in self.table[COLUMNS[2]])

    def only(self, column: str) -> str:
        """The value that all rows have in one of CONSTANT_COLUMNS, "" without the column."""
        return self.table[column].iloc[0] if column in self.table else ""


def read_captions(path: str | Path) -> Captions:
    """Read one CSV, ours or a predecessor's.

    InputError where it is missing, is not a CSV, is empty, lacks a column, or holds what inference.py does not write.
    """
    import pandas as pd

    if Path(path).suffix == ".json":
        table = Path(path).with_suffix("")
        raise InputError(f"{path}: is a JSON file, expected a CSV of captions as inference.py writes"
                         + f"; give {table}, beside which it lies" * table.is_file())
    try:
        columns, rows = read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; expected a CSV of captions as inference.py writes") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a CSV of captions as inference.py writes") from None
    if "condition" in columns:  # ours; the predecessors write without a guard
        rows = [[unguarded(cell) for cell in row] for row in rows]
    numbered = [place for place, name in enumerate(columns) if name in NUMBERED]
    for row in rows:  # else person 1 and person 1.0 would be two
        for place in numbered:
            row[place] = WHOLE.sub(r"\1", row[place])
    names = pd.Index(columns, dtype=object)  # a string index cannot hold half a surrogate pair
    table = pd.DataFrame(rows, columns=names, dtype=object)  # strings, also where a caption is `None` or `NA`
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: columns {', '.join(missing)} missing; found {', '.join(table.columns[:12])}; "
                         "expected a CSV as inference.py writes")
    if table.empty:
        raise InputError(f"{path}: no rows below the header; write it again with inference.py")
    _check_rows(path, table)
    condition = table["condition"].iloc[0] if "condition" in table else None
    return Captions(Path(path), table, condition, _read_record(path))


def with_whole_letters(file: Captions) -> Captions:
    """The captions with U+FFFD in place of half a surrogate pair, which tables, charts and tokenizers do not take."""
    if REFERENCES in file.table:  # an escape of JSON may stand for half a pair
        file.table = file.table_with(REFERENCES, [json.dumps(own, ensure_ascii=False) for own in file.all_references])
    halves = [HALF.search(cell) is not None for cell in file.table.to_numpy().ravel()]
    if any(halves):
        print(f"note: {file.path}: {sum(halves)} cells hold what is not UTF-8 text; \ufffd is read in its place")
        file.table = file.table.map(lambda cell: HALF.sub("\ufffd", cell))
    return file


def _check_rows(path, table):
    for column in CONSTANT_COLUMNS:
        values = table[column].unique() if column in table else [""]
        if len(values) > 1:
            cut = "; rows without any may be cut short" if "" in values else ""
            raise InputError(f"{path}: rows of {column}s {', '.join(value or '(none)' for value in values)}; expected one "
                             f"{column} in a file{cut}")
    for row, cell in enumerate(table.get(REFERENCES, ())):
        _check_references(f"{path}: row {row}", cell, table[COLUMNS[3]].iloc[row])
    if "condition" in table and table["condition"].iloc[0] not in NAMES:
        raise InputError(f"{path}: condition {table['condition'].iloc[0]!r}; expected one of "
                         f"{', '.join(NAMES)}")
    shown = table["image" if "image" in table and (table["image"] != "").all() else COLUMNS[0]]
    nameless = [row for row, name in enumerate(shown) if not name.strip()]
    if nameless:
        raise InputError(f"{path}: row {nameless[0]} names no picture ({COLUMNS[0]}); rows without a name would count "
                         "as one picture, so give each its name, or write the file again with inference.py")
    if "trial" in table and table["trial"].duplicated().any():
        raise InputError(f"{path}: trial {table['trial'][table['trial'].duplicated()].iloc[0]!r} is in several rows; "
                         "expected each trial once; write the file again with inference.py")
    for row, text in enumerate(table.get("probability", ())):
        try:
            good = not text or 0 <= float(text) <= 1
        except ValueError:
            good = False
        if not good:
            raise InputError(f"{path}: row {row} has probability {text!r}; expected a number from 0 to 1, or an empty cell")


def _check_references(place, cell, first):
    try:
        texts = parse_json(cell)
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f"{place} has {cell[:60]!r} as {REFERENCES}; expected a JSON list of texts as inference.py writes")
    if texts[0].strip() != first.strip():
        raise InputError(f"{place} has another first reference, {texts[0][:60]!r}, than {COLUMNS[3]} says; write the file "
                         "again with inference.py")


def _read_record(path):
    from runtime.schema import check

    from metrics.record_schema import CaptionRecord

    record = Path(f"{path}.json")
    if not record.is_file():
        return None
    content = read_json(record)
    if content.get("format") != RECORD_FORMAT:
        raise InputError(f"{record}: format {content.get('format')!r}, expected {RECORD_FORMAT!r}; write the captions "
                         "again with inference.py, or remove the file (the report then cannot say how they were made)")
    return check(CaptionRecord, content, record, "the file is damaged or was changed by hand, so write the captions again "
                 "with inference.py")


def name_files(files: list[Captions]) -> None:
    """Give each file as its key the shortest ending of its path that no other file has."""
    parts = [file.path.resolve().parts for file in files]
    for file, own in zip(files, parts, strict=True):
        if parts.count(own) > 1:
            raise InputError(f"{file.path}: given twice; give each CSV once")
        length = 1
        while sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        file.key = "/".join(own[-length:])


def find_reference(files: list[Captions], wanted: str) -> Captions:
    """The file that the others are compared with. wanted: a path, a file name or a condition.

    Captions that were made from those of a file carry its path, but only the file itself is meant by it. InputError where
    no file matches or several do.
    """
    given = [file for file in files if not file.source]
    for among, matches in ((given, lambda file: file.path.resolve() == Path(wanted).resolve()),
                           (files, lambda file: file.key == wanted), (given, lambda file: file.path.name == wanted),
                           (files, lambda file: file.condition == wanted)):
        found = [file for file in among if matches(file)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"--compare_to {wanted}: {len(found)} of the files match; give a path")
    known = ", ".join(f"{file.key} ({file.condition or 'no condition'})" for file in files)
    raise InputError(f"--compare_to {wanted}: no such file or condition; expected one of {known}")


def paired_rows(file: Captions, reference: Captions) -> list[list[int]]:
    """Positions in both files of the rows that belong together: two lists.

    Our files are paired by trial, the predecessors' by position. InputError where pictures or true captions differ.
    """
    ours, theirs = file.table, reference.table
    if "trial" in ours and "trial" in theirs:
        position = {trial: i for i, trial in enumerate(theirs["trial"])}
        pairs = [(i, position[trial]) for i, trial in enumerate(ours["trial"]) if trial in position]
    elif len(ours) == len(theirs):
        pairs = [(i, i) for i in range(len(ours))]
    else:
        raise InputError(f"{file.path}: {len(ours)} rows and {reference.path}: {len(theirs)} rows without trial "
                         "numbers in both cannot be paired")
    if not pairs:
        raise InputError(f"{file.path} and {reference.path}: no trial in common")
    true, others = ([[text.strip() for text in own] for own in each.all_references] for each in (file, reference))
    for i, j in pairs:
        shown, other = (Path(table[COLUMNS[0]].iloc[row]).stem for table, row in ((ours, i), (theirs, j)))
        if shown != other:
            raise InputError(f"{file.path}: row {i} is of picture {shown}, but the row of {reference.path} that "
                             f"belongs to it is of {other}; they do not hold the same trials")
        if true[i] != others[j]:
            raise InputError(f"{file.path}: row {i} has another true caption than the row of {reference.path} that belongs "
                             "to it; scores against different references cannot be compared")
    return [list(rows) for rows in zip(*pairs, strict=True)]
