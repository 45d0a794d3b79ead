"""Emotiv Insight recordings cut into windows [5, 256]: what the readers of BDD and MindBigData share.

The channels stand in the order AF3 AF4 Pz T7 T8 (the order of Thought2Text's pretraining files), in the headset's
microvolts (about 4200 is its zero), at about 128 Hz: BDD's own clock says 127, MindBigData's nominal rate is 128.
"""

from collections.abc import Iterable

from runtime.errors import InputError

import numpy as np

CHANNELS = ("AF3", "AF4", "Pz", "T7", "T8")
SFREQ = 128.0
WINDOW = 256
SKIPPED = 65  # samples (0.5 s) at the start of BDD and MindBigData-ImageNet files that Thought2Text leaves out, too
MAX_MICROVOLTS = 1e5  # microvolts; the headset's converter ends at 8400, so more than this is a damaged number


class Windows:
    """The windows of one source, gathered recording by recording.

    A piece of fewer than `WINDOW` samples is left out. Only where `min_samples` allows it, it is kept and filled up
    with NaN, which stays recognisable as no measurement; nothing is repeated or extrapolated.
    `skip_damaged`: count damaged recordings in `damaged` and go on, instead of stopping at the first.
    """

    def __init__(self, min_samples=WINDOW, skip_damaged=False):
        self.min_samples = min_samples
        self.skip_damaged = skip_damaged
        self.samples, self.recordings = [], []
        self.too_short, self.damaged = 0, []

    def add(self, recording: str, stretches: Iterable[np.ndarray]) -> None:
        """Cut each uninterrupted stretch [5, samples] of `recording` into consecutive windows without overlap."""
        before = len(self.samples)
        for stretch in stretches:
            for start in range(0, stretch.shape[1], WINDOW):
                piece = stretch[:, start : start + WINDOW].astype(np.float32)
                missing = WINDOW - piece.shape[1]
                if piece.shape[1] >= self.min_samples:
                    self.samples.append(np.pad(piece, ((0, 0), (0, missing)), constant_values=np.nan))
                    self.recordings.append(recording)
        self.too_short += len(self.samples) == before

    def report_damage(self, error: Exception) -> None:
        if not self.skip_damaged:
            raise InputError(f"{error}; get the file again, or leave damaged recordings out with --skip_damaged")
        self.damaged.append(str(error))

    def stack(self) -> np.ndarray:
        """All windows as float32 [n, 5, WINDOW]."""
        return np.stack(self.samples) if self.samples else np.empty((0, len(CHANNELS), WINDOW), np.float32)


def read_numbers(cells: list[str], where: object) -> np.ndarray:
    """Text cells as float64 microvolts; `where` names file and line for the message of an `InputError`."""
    try:
        values = np.array(cells, dtype=float)
    except ValueError:
        wrong = next(number for number, cell in enumerate(cells, 1) if not is_number(cell))
        raise InputError(f"{where}: value {wrong} is {cells[wrong - 1][:20]!r}, expected a number") from None
    check_microvolts(values, where)
    return values


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_microvolts(values: np.ndarray, where: object) -> None:
    """Refuse NaN, Inf and numbers that no headset gives; `values` is any array of one channel's samples."""
    wrong = np.flatnonzero(~(np.abs(values) <= MAX_MICROVOLTS))  # true for NaN as well
    if wrong.size:
        raise InputError(f"{where}: sample {wrong[0] + 1} is {values[wrong[0]]:g}, expected finite microvolts of at "
                         f"most {MAX_MICROVOLTS:g}")


def join_channels(rows: dict[str, np.ndarray], where: object) -> np.ndarray:
    """{channel name: samples} -> [5, samples] in the order of CHANNELS; names may differ in case (`Pz`, `PZ`)."""
    by_name = {name.upper(): values for name, values in rows.items()}
    missing = [name for name in CHANNELS if name.upper() not in by_name]
    if missing:
        raise InputError(f"{where}: channel {', '.join(missing)} is missing (found {', '.join(rows)[:200] or 'none'})")
    lengths = {name: len(by_name[name.upper()]) for name in CHANNELS}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{where}: the channels have different lengths {lengths}, so a row is cut short")
    return np.stack([by_name[name.upper()] for name in CHANNELS])
