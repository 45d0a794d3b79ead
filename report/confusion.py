"""The encoder's confusion matrix as a table, coloured by the page."""

from pathlib import Path

from runtime.errors import InputError
from runtime.text_files import read_csv, unguarded

MAX_CLASSES = 60  # more would be a smear
MAX_NUMBERS = 12  # of classes whose shares are written into the cells


def confusion(file: Path) -> dict | None:
    """{"classes", "rows": [(class, [share of its trials in %])], "numbers"} of confusion_matrix.csv; None where it is
    missing or no such table. numbers: whether there is room for them."""
    try:
        columns, lines = read_csv(file)
        classes = list(map(unguarded, columns[1:]))
        counts = [[int(cell) for cell in line[1:]] for line in lines]
    except (InputError, OSError, ValueError):
        return None
    if len(lines) != len(classes) or not 1 < len(classes) <= MAX_CLASSES or min(map(min, counts)) < 0:
        return None
    rows = [(unguarded(line[0]), [round(100 * count / max(1, sum(own))) for count in own])
            for line, own in zip(lines, counts, strict=True)]
    return {"classes": classes, "rows": rows, "numbers": len(classes) <= MAX_NUMBERS}
