"""The data set folder that `prepare_data.py` writes and every stage takes as --eeg_dataset.

    dataset.json            sampling rate, channels, units, classes, pictures, recordings, steps; written last
    trials/00000-000.arrow  shards in the format of Hugging Face `datasets`, one or more a recording, memory-mapped
    trials/00000.json       what became of that recording's events; lets an interrupted run go on
    images/                 pictures and captions
    splits.pth              parts (splits.py)
    README.md               the card that lets the Hub stream the shards

It is opened here and written by dataset_writer.py.
"""

from pathlib import Path

from runtime.errors import InputError
from runtime.names import below
from runtime.runs import read_json
from runtime.verified import has_hash

import numpy as np
import torch

FORMAT = "eeg-to-text data set 1"
COLUMNS = ("label", "subject", "session", "recording", "onset", "picture", "part")


class MappedEEG:
    """EEG [N, C, T] float32 on disk; indexing with rows (int, slice, list, tensor) reads just those, as a tensor.

    blocks: arrays [n, channels, samples], one after the other, each of `high` samples or more; low, high: window;
    rows [N]: which trials, None: all; matrix [C, channels]: what is made of the channels on reading, None: nothing;
    means [G, C, T] and group [all trials]: what is subtracted after that, None: nothing.
    """

    def __init__(self, blocks, low, high, rows=None, matrix=None, means=None, group=None):
        self.blocks, self.low, self.high, self.matrix, self.means, self.group = blocks, low, high, matrix, means, group
        self.starts = np.cumsum([0, *(len(block) for block in blocks)])
        self.rows = np.arange(self.starts[-1]) if rows is None else np.asarray(rows)

    def __len__(self):
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        n_chans = self.blocks[0].shape[1] if self.matrix is None else len(self.matrix)
        return torch.Size((len(self), n_chans, self.high - self.low))

    def __getitem__(self, index):
        rows = self.rows[index.numpy() if isinstance(index, torch.Tensor) else index]
        single = np.ndim(rows) == 0
        rows = np.atleast_1d(rows)
        block = np.searchsorted(self.starts, rows, side="right") - 1
        eeg = np.empty((len(rows), self.blocks[0].shape[1], self.high - self.low), np.float32)
        for place, (number, row) in enumerate(zip(block, rows - self.starts[block], strict=True)):
            eeg[place] = self.blocks[number][row, :, self.low:self.high]
        eeg = torch.from_numpy(eeg)
        if self.matrix is not None:
            eeg = self.matrix @ eeg
        if self.means is not None:
            eeg -= self.means[self.group[rows]]
        return eeg[0] if single else eeg

    def take(self, rows: np.ndarray) -> "MappedEEG":
        """The trials `rows`, without reading them."""
        return MappedEEG(self.blocks, self.low, self.high, self.rows[rows], self.matrix, self.means, self.group)

    def with_channels(self, matrix: torch.Tensor) -> "MappedEEG":
        """The same trials with other channels: `matrix` [C', C] float32."""
        matrix = matrix if self.matrix is None else matrix @ self.matrix
        return MappedEEG(self.blocks, self.low, self.high, self.rows, matrix)

    def without(self, means: torch.Tensor, group: torch.Tensor) -> "MappedEEG":
        """The same trials without the mean of their group: means [G, C, T] float32, group [N] into it."""
        of_all = torch.zeros(int(self.starts[-1]), dtype=torch.long)
        of_all[torch.from_numpy(self.rows)] = group
        return MappedEEG(self.blocks, self.low, self.high, self.rows, self.matrix, means, of_all.numpy())


def read_record(folder: Path | str) -> dict:
    """dataset.json of a finished data set folder."""
    from runtime.schema import check

    from eegdata.record_schema import DataSetRecord

    file = Path(folder) / "dataset.json"
    if not file.is_file():
        unfinished = (Path(folder) / "trials").is_dir()
        raise InputError(f"{folder}: holds no dataset.json; " + (
            "it is not finished: run the prepare_data.py command again to continue it" if unfinished else
            "expected a folder that prepare_data.py wrote, or a .pth file"))
    record = read_json(file)
    if record.get("format") != FORMAT:
        raise InputError(f"{file}: format {record.get('format')!r}, expected {FORMAT!r}; prepare the data set again")
    return check(DataSetRecord, record, file, "it was changed by hand or is damaged, so prepare the data set again")


def number_of_trials(recordings: list[dict]) -> int:
    """Trials in the shards of recordings, entries of dataset.json."""
    return sum(shard["trials"] for recording in recordings for shard in recording["shards"])


def open_folder(folder: Path | str, damaged: bool = False) -> tuple[dict, list[np.ndarray], dict[str, np.ndarray]]:
    """Open a data set folder without reading the EEG, except once to compare it with its hashes (not if `damaged`).

    Returns its record, the EEG as a list of arrays [n, channels, samples] that lie on disk, and the other columns as
    {name: array [trials]} (see COLUMNS).
    """
    import pyarrow

    folder = Path(folder)
    record = read_record(folder)
    shape = (len(record["ch_names"]), record["n_times"])
    blocks, tables = [], []
    for shard in (shard for recording in record["recordings"] for shard in recording["shards"]):
        file = below(folder / "trials", shard["file"], folder / "dataset.json")
        size = file.stat().st_size if file.is_file() else None
        if size != shard["bytes"]:
            raise InputError(f"{file}: {'absent' if size is None else f'{size} bytes'}, expected {shard['bytes']} bytes; "
                             "copy the data set folder again")
        if not damaged and not has_hash(file, shard["sha256"]):
            raise InputError(f"{file}: damaged (its SHA-256 differs from that in dataset.json); copy the data set folder "
                             "again, or prepare it again")
        try:
            table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
            table.validate(full=True)
            if len(table) != shard["trials"]:
                raise ValueError(f"{len(table)} trials, dataset.json says {shard['trials']}")
            for chunk in table.column("eeg").chunks:
                values = chunk.flatten().flatten()  # to_numpy() would do the same, but import pandas
                block = np.frombuffer(values.buffers()[1], np.float32, len(values), values.offset * 4)
                blocks.append(block.reshape(len(chunk), *shape))
            tables.append(table.select(COLUMNS))
        except (pyarrow.ArrowException, KeyError, ValueError, OSError) as error:
            raise InputError(f"{file}: damaged ({str(error).splitlines()[0][:200]}); copy the data set folder again, or "
                             "prepare it again") from None
    table = pyarrow.concat_tables(tables)
    columns = {name: np.array(table.column(name).to_pylist()) for name in COLUMNS}
    return record, blocks, columns
