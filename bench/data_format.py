"""Compare the data set folder with a raw memory map: time to open, memory, random batches.

    python -m bench.data_format
    python -m bench.data_format --trials 2000 --repeats 3 --results /tmp/RESULTS.md

The numbers go to bench/RESULTS.md. Random numbers in the shape of EEGCVPR40 are written as a data set folder and as one
.npy. Each is opened in a new process. Batches are random rows, as in training. The files are read once before the timing,
so that they are in the page cache. `datasets` means that Hugging Face's library reads the shards of the folder.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

from runtime import options
from runtime.errors import exits_cleanly
from runtime.options import Options

import numpy as np

from bench.measurement import device_name, packages, table, write_section

BATCH_SIZE, N_BATCHES, N_BATCHES_DATASETS = 64, 50, 5  # fewer with `datasets`, which is slow
READERS = {"folder": "data set folder (load_trials)", "raw": "raw memory map (numpy)",
           "datasets": "the same shards by `datasets`"}


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.data_format"
    parser.add_argument("--trials", type=options.positive, default=12_000, help="number of trials")
    parser.add_argument("--n_chans", type=options.positive, default=128, help="channels of a trial")
    parser.add_argument("--n_times", type=options.positive, default=500, help="samples of a trial")
    parser.add_argument("--repeats", type=options.positive, default=5, help="number of runs; the median is reported")
    parser.add_argument("--scratch", help="folder for the data; needs twice the size of the trials (unset: a temporary "
                                          "folder)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return options.parse(parser, argv)


def write(folder: Path, args: Options) -> tuple[float, float]:
    """Write the same trials as a data set folder of 6 recordings and as raw.npy; returns the seconds of each."""
    from eegdata.dataset_writer import write_folder
    from eegdata.records import Block, DataSet, Recording

    block = np.random.default_rng(0).standard_normal((2000, args.n_chans, args.n_times), dtype=np.float32)

    def read(count):
        for start in range(0, count, len(block)):
            eeg = block[:min(len(block), count - start)]
            yield Block(eeg, np.zeros(len(eeg), int), ["a_unknown"] * len(eeg), np.arange(len(eeg)) * 1.0)

    counts = [len(part) for part in np.array_split(np.arange(args.trials), 6)]
    recordings = [Recording(f"subject {i}", i, 1, i, lambda count=count: read(count)) for i, count in enumerate(counts, 1)]
    data = DataSet(recordings, sfreq=1000.0, ch_names=[f"E{i}" for i in range(args.n_chans)], n_times=args.n_times,
                   tmin=0.0, units="uV", class_ids=["a"], class_names=["a"], pictures={}, pictures_known="no")
    start = time.perf_counter()
    write_folder(data, folder / "data", "bench", "none", overwrite=True)
    middle = time.perf_counter()
    raw = np.lib.format.open_memmap(folder / "raw.npy", "w+", np.float32, (args.trials, args.n_chans, args.n_times))
    row = 0
    for count in counts:
        for part in read(count):
            raw[row:row + len(part.eeg)] = part.eeg
            row += len(part.eeg)
    raw.flush()
    return middle - start, time.perf_counter() - middle


def resident_set() -> float:
    """Resident set of this process in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def open_and_draw(kind: str, folder: Path, trials: int, queue: multiprocessing.Queue) -> None:
    """In a new process, open the data and draw batches; puts (seconds to open, MB before and after, batches/s).

    kind: a key of READERS. Libraries are imported before the measurement starts.
    """
    if kind == "folder":
        from eegdata.trials import load_trials
    elif kind == "datasets":
        from datasets import load_dataset
    before, start = resident_set(), time.perf_counter()
    if kind == "folder":
        eeg = load_trials(folder / "data", time_low=0).eeg
    elif kind == "raw":
        eeg = np.load(folder / "raw.npy", mmap_mode="r")
    else:
        table = load_dataset("arrow", data_files=sorted(map(str, (folder / "data" / "trials").glob("*.arrow"))),
                             split="train", cache_dir=str(folder / "cache")).with_format("numpy")
    seconds, after = time.perf_counter() - start, resident_set()
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, trials, BATCH_SIZE) for _ in range(N_BATCHES_DATASETS if kind == "datasets" else N_BATCHES)]

    def read():
        for rows in batches:
            table[rows]["eeg"] if kind == "datasets" else eeg[rows]

    read()  # into the page cache
    start = time.perf_counter()
    read()
    queue.put((seconds, before, after, len(batches) / (time.perf_counter() - start)))


def measure(kind: str, folder: Path, args: Options) -> list[float]:
    """Medians over the repeats of the results of `open_and_draw`."""
    context, rows = multiprocessing.get_context("spawn"), []
    for _ in range(args.repeats):
        queue = context.Queue()
        process = context.Process(target=open_and_draw, args=(kind, folder, args.trials, queue))
        process.start()
        rows.append(queue.get())
        process.join()
    return [statistics.median(column) for column in zip(*rows, strict=True)]


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        written = write(folder, args)
        measured = {kind: measure(kind, folder, args) for kind in READERS}
    rows, raw_speed = [], measured["raw"][3]
    for kind, (seconds, before, after, speed) in measured.items():
        rows.append([READERS[kind], f"{seconds:.3f}", f"{before:.0f}", f"{after:.0f}", f"{speed:.0f}",
                     f"{speed / raw_speed:.2f}"])
    columns = ("", "opened in s", "resident MB before", "after opening", "random batches of 64/s", "of raw")
    size = args.trials * args.n_chans * args.n_times * 4 / 1e9
    body = (f"{args.trials} trials of {args.n_chans} x {args.n_times} float32 ({size:.2f} GB), medians of {args.repeats} "
            f"runs by `python -m bench.data_format`; written in {written[0]:.1f} s (folder, checksums included) and "
            f"{written[1]:.1f} s (raw).\n{packages()}.\n\n" + table(columns, rows) + "\n")
    heading = f"{device_name('cpu')}: data set folder"
    write_section(args.results, heading, body)


if __name__ == "__main__":
    sys.exit(main())
