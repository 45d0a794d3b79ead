"""The data set folder against a raw memory map: opening, memory, random batches. Numbers go to bench/RESULTS.md.

    python -m bench.data_format
    python -m bench.data_format --trials 2000 --repeats 3 --results /tmp/RESULTS.md

Random numbers in the shape of EEGCVPR40 are written by `dataset_folder.write_folder` and as one .npy; each is opened in
a process of its own. Batches are rows drawn at random, as in training, after the files were read once (they are then in
the system's page cache). `datasets` is Hugging Face's own reading of the same shards.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

from runtime import options
from runtime.errors import exits_cleanly

import numpy as np

from bench.measuring import device_name, packages, table, write_section

BATCH, BATCHES = 64, 50


def parse(argv):
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.data_format"
    parser.add_argument("--trials", type=options.positive, default=12_000, help="number of trials")
    parser.add_argument("--n_chans", type=options.positive, default=128, help="channels of a trial")
    parser.add_argument("--n_times", type=options.positive, default=500, help="samples of a trial")
    parser.add_argument("--repeats", type=options.positive, default=5, help="runs of which the median counts")
    parser.add_argument("--scratch", help="folder for the data, twice the trials' size (unset: a temporary one)")
    parser.add_argument("--results", type=Path, default=Path("bench/RESULTS.md"), help="Markdown file to write to")
    return parser.parse_args(argv)


def write(folder, args):
    """The same trials as a data set folder of 6 recordings and as raw.npy; returns the seconds of each."""
    from eegdata.dataset_folder import write_folder
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


def resident():
    """Resident set of this process in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def opened(kind, folder, trials, queue):
    """In a process of its own: open, then draw batches; puts (seconds, MB before and after opening, batches/s)."""
    if kind == "folder":
        from eegdata.trials import load_trials
    elif kind == "datasets":
        from datasets import load_dataset
    before, start = resident(), time.perf_counter()
    if kind == "folder":
        eeg = load_trials(folder / "data", time_low=0).eeg
    elif kind == "raw":
        eeg = np.load(folder / "raw.npy", mmap_mode="r")
    else:
        table = load_dataset("arrow", data_files=sorted(map(str, (folder / "data" / "trials").glob("*.arrow"))),
                             split="train", cache_dir=str(folder / "cache")).with_format("numpy")
    seconds, after = time.perf_counter() - start, resident()
    draw = np.random.default_rng(1)
    batches = [draw.integers(0, trials, BATCH) for _ in range(BATCHES if kind != "datasets" else 5)]

    def read():
        for rows in batches:
            table[rows]["eeg"] if kind == "datasets" else eeg[rows]

    read()  # into the page cache
    start = time.perf_counter()
    read()
    queue.put((seconds, before, after, len(batches) / (time.perf_counter() - start)))


def measure(kind, folder, args):
    """Medians over the repeats of what `opened` gives."""
    context, rows = multiprocessing.get_context("spawn"), []
    for _ in range(args.repeats):
        queue = context.Queue()
        process = context.Process(target=opened, args=(kind, folder, args.trials, queue))
        process.start()
        rows.append(queue.get())
        process.join()
    return [statistics.median(column) for column in zip(*rows, strict=True)]


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        written = write(folder, args)
        found = {kind: measure(kind, folder, args) for kind in ("folder", "raw", "datasets")}
    lines = []
    for kind, title in (("folder", "data set folder (load_trials)"), ("raw", "raw memory map (numpy)"),
                        ("datasets", "the same shards by `datasets`")):
        seconds, before, after, speed = found[kind]
        cells = [title, f"{seconds:.3f}", f"{before:.0f}", f"{after:.0f}", f"{speed:.0f}", f"{speed / found['raw'][3]:.2f}"]
        lines.append(cells)
    columns = ("", "opened in s", "resident MB before", "after opening", "random batches of 64/s", "of raw")
    size = args.trials * args.n_chans * args.n_times * 4 / 1e9
    body = (f"{args.trials} trials of {args.n_chans} x {args.n_times} float32 ({size:.2f} GB), medians of {args.repeats} "
            f"runs by `python -m bench.data_format`; written in {written[0]:.1f} s (folder, checksums included) and "
            f"{written[1]:.1f} s (raw).\n{packages}.\n\n" + table(columns, lines) + "\n")
    heading = f"{device_name('cpu')}: data set folder"
    write_section(args.results, heading, body)


if __name__ == "__main__":
    sys.exit(main())
