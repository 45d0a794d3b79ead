"""Readers of raw recordings, of tables beside them and of published data sets, for bench.faults (see fault_readers)."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from unittest import mock

import mne
import numpy as np

from bench.fault_readers import Reader, beside, of_bytes
from sources import bdd, bids, damage, emotiv_insight, mindbigdata, stimuli, uci
from sources.events import read_events, recorded_events, share_table
from sources.muse import check_clock, read_csv
from sources.raw_files import RecordingFile, set_people
from sources.readers import open_raw

CHANNELS, SFREQ = ["Fz", "Cz", "Oz"], 100.
EVENTS = (b"onset\tpicture\tcaption\n3.000\tcat/tom.jpg\tA grey cat on a sofa.\n4.250\tdog/rex.jpg\tA dog runs.\n",
          b"sample\tclass\tfile\n100\tcat\ta.edf\n250\tdog\ta.edf\n",
          b"onset\tduration\ttrial_type\tvalue\n1.5\tn/a\tgo\t1\n2.5\tn/a\tno\t2\n")
MARKERS = "MARKERS['Blank','Image']"


# Does what `python -c` would, in forks of a small process: that starts a hundred times faster.
TRIER = """
import ctypes, json, os, resource, signal, sys
import pymatreader  # with the next two, what the commands load
from mne.io import read_raw_eeglab
from scipy.io import loadmat
ctypes.CDLL(None).mallopt(-6, 165)  # MALLOC_PERTURB_
most = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 26)
resource.setrlimit(resource.RLIMIT_AS, (most, most))  # filling what a damaged size asks for takes long
for line in sys.stdin:
    read, write = os.pipe()
    process = os.fork()
    if not process:
        try:
            signal.alarm(5)  # in place of damage.SECONDS
            _, _, commands, *sys.argv[1:] = json.loads(line)
            exec(commands, {})
            os._exit(0)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode(errors="replace")[:4000])
        finally:
            os._exit(1)
    os.close(write)
    with open(read, "rb") as said:
        reason = said.read().decode(errors="replace")
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), reason]), flush=True)
"""


@functools.cache
def trier(_process: int) -> subprocess.Popen:
    """The process of TRIER that belongs to a process of this program, with which it ends."""
    return subprocess.Popen([sys.executable, "-c", TRIER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tried(command: list[str]) -> tuple[int, str]:
    """In place of damage._tried."""
    process = trier(os.getpid())
    print(json.dumps(command), file=process.stdin, flush=True)
    return tuple(json.loads(process.stdout.readline()))


def recording() -> mne.io.BaseRaw:
    """Two seconds of noise with two annotations."""
    raw = mne.io.RawArray(np.random.default_rng(0).normal(0, 1e-5, (3, 200)), mne.create_info(CHANNELS, SFREQ, "eeg"),
                          verbose="error")
    return raw.set_annotations(mne.Annotations([.5, 1.2], .1, ["cat", "dog"]))


def unsound(path: Path) -> str:
    """Open a recording as raw.py does; returns what is wrong with what was read."""
    with mock.patch.object(damage, "_tried", tried):
        raw, _ = open_raw(path)
    return of_raw(path, raw)


def of_raw(path: Path, raw: mne.io.BaseRaw) -> str:
    """What is wrong with a recording that was opened."""
    events, _ = recorded_events(RecordingFile(path, path.name, None), raw)
    if not raw.ch_names or not raw.n_times or not math.isfinite(raw.info["sfreq"]) or raw.info["sfreq"] <= 0:
        return f"{len(raw.ch_names)} channels, {raw.n_times} samples at {raw.info['sfreq']} Hz"
    return "" if all(math.isfinite(event.onset) for event in events) else "events at no time"


def of_files(made: Path) -> dict[str, Reader]:
    """Readers of recordings in files, written to `made` first."""
    folder, readers = made / "recordings", {}
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("edf", "set", "fif", "brainvision", "bids"):
        (folder / name).mkdir(parents=True)
    raw = recording()
    mne.export.export_raw(folder / "edf" / "a.edf", raw, verbose="error")
    mne.export.export_raw(folder / "set" / "a.set", raw, verbose="error")
    mne.export.export_raw(folder / "brainvision" / "a.vhdr", raw, verbose="error")
    raw.save(folder / "fif" / "a_raw.fif", verbose="error")
    edf = (folder / "edf" / "a.edf").read_bytes()
    with_gaps = edf.replace(b"EDF+C", b"EDF+D", 1)
    readers["EDF"] = of_bytes("a.edf", [edf, with_gaps, edf[:2000]], lambda at: unsound(at / "a.edf"))
    for name, file in (("EEGLAB .set", "set/a.set"), ("FIF", "fif/a_raw.fif")):
        path = folder / file
        readers[name] = of_bytes(path.name, [path.read_bytes()], lambda at, name=path.name: unsound(at / name))
    for end in ("vhdr", "vmrk"):
        content = (folder / "brainvision" / f"a.{end}").read_bytes()
        readers[f"BrainVision .{end}"] = of_bytes(f"a.{end}", [content], lambda at: unsound(at / "a.vhdr"),
                                                  folder / "brainvision")
    return readers | of_bids(folder / "bids", raw)


def of_bids(folder: Path, raw: mne.io.BaseRaw) -> dict[str, Reader]:
    """Readers of the tables and JSON files of a BIDS data set."""
    import mne_bids

    place = mne_bids.BIDSPath(subject="01", task="look", root=folder, datatype="eeg")
    mne_bids.write_raw_bids(raw, place, format="BrainVision", allow_preload=True, overwrite=True, verbose="error")

    def read(at):
        (file,) = bids.find_files(at)
        raw, _ = file.open()
        read_events(file.events, "--bids") if file.events else None
        return of_raw(file.path, raw)

    tables = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
              if path.suffix in (".tsv", ".json")}

    def make(draw):
        name = draw.choice(list(tables))
        return {**tables, **of_bytes(name, [tables[name]], read).make(draw)}

    return {"BIDS tables and JSON": Reader(make, read, folder)}


def of_tables(made: Path) -> dict[str, Reader]:
    """Readers of tables that users write, and of the published data sets' own formats."""
    rng = np.random.default_rng(0)

    def numbers(count):
        return ",".join(f"{value:.3f}" for value in 4200 + rng.random(count))

    insight = ["AF3", "AF4", "T7", "T8", "PZ"]
    digits = "".join(f"{i}\t{1 + i // 5}\tIN\t{insight[i % 5]}\t{i // 5}\t8\t{numbers(8)}\n" for i in range(20)).encode()
    photograph = "".join(f"{name},{numbers(8)}\n" for name in insight).encode()
    bdd_rows = "".join(f"{i % 128}, {', '.join(numbers(5).split(','))}, {i // 30 % 2}, {i // 30 % 2}, 100\n"
                       for i in range(90))
    bdd_file = f"COUNTER, AF3, T7, Pz, T8, AF4, {MARKERS}, TICK, ContactQuality\n{bdd_rows}".encode()
    muse = ("timestamps,TP9,AF7,AF8,TP10,Right AUX,Marker0\n" + "".join(
        f"{1e9 + i / 256:.3f},{numbers(5)},{int(i == 20)}\n" for i in range(60))).encode()
    npz = io.BytesIO()
    np.savez(npz, X=rng.normal(0, 5, (2, 3, 8)), subject=np.array(["co2a", "co2b"]),
             cond=np.array(list(uci.CONDITIONS)[:1] * 2), ch=np.array(["FZ", "CZ", "OZ"]))
    files = [RecordingFile(Path("a.edf"), "a.edf", None), RecordingFile(Path("b.edf"), "b.edf", None)]

    def read_table(name, at):
        times = {}
        for file, event in read_events(at / name):
            time = event.onset if event.sample is None else event.sample
            if math.isnan(time):  # the row gives no time
                continue
            if not times.get(file, -math.inf) <= time < math.inf:
                return f"time {time} after {times.get(file)}"
            times[file] = time
        share_table(at / name, files[:1])

    def read_people(at):
        people = [RecordingFile(file.path, file.name, None) for file in files]
        set_people(people, str(at / "p.tsv"))
        return "" if all(isinstance(file.subject, int) for file in people) else "people without numbers"

    def read_digits(at):
        args = Namespace(n_times=8, skip_damaged=False, l_freq=0., h_freq=0.)
        for block in mindbigdata._read_digits(at / "IN.txt", mindbigdata.index_rows(at / "IN.txt", args), args):
            return unlike(block.eeg, (len(block.label), 5, 8))

    def read_muse(at):
        times, signal, *_ = read_csv(at / "a.csv")
        check_clock(times, at / "a.csv")
        return unlike(signal, (4, len(times)))

    def read_bdd(at):
        bdd.marker_names(bdd.read_header(at / "a.csv"), at / "a.csv")
        return next(filter(None, (unlike(part, (5, part.shape[1])) for part in bdd.read_recording(at / "a.csv"))), "")

    def read_photograph(at):
        signal = emotiv_insight.join_channels(mindbigdata.read_imagenet_rows(at / "a.csv"), at / "a.csv")
        return unlike(signal, (5, signal.shape[1]))

    config = Namespace(n_chans=3, n_times=4, sfreq=100, ch_names=None, centre="none")
    return {
        "events tables (TSV)": of_bytes("e.tsv", EVENTS, partial(read_table, "e.tsv")),
        "events tables (CSV)": of_bytes("e.csv", [EVENTS[0].replace(b"\t", b","), b'onset;class\n1;"a ""b"""\n2;c\n'],
                                        partial(read_table, "e.csv")),
        "participants": of_bytes("p.tsv", [b"file\tsubject\tsession\na.edf\t1\t1\nb.edf\tS2\t2\n"], read_people),
        "picture maps": of_bytes("m.tsv", [b"event\tclass\tcaption\n1\tcat\tA cat.\n2\tdog\tA dog.\n"], lambda at: "" if
                                 stimuli.find_stimuli(picture_map=str(at / "m.tsv")).map is not None else "no map"),
        "picture lists": beside(of_bytes("l.tsv", [b"picture\tclass\tcaption\na.png\tcat\tA cat.\n"], lambda at: bool(
            stimuli.find_stimuli(str(at / "p"), str(at / "l.tsv"))) * ""), {"p/a.png": b""}),
        "MindBigData MNIST": of_bytes("IN.txt", [digits], read_digits),
        "MindBigData ImageNet": of_bytes("a.csv", [photograph], read_photograph),
        "BDD": of_bytes("a.csv", [bdd_file], read_bdd),
        "Muse CSV (N170)": of_bytes("a.csv", [muse], read_muse),
        "UCI .npz": of_bytes("u.npz", [npz.getvalue()], lambda at: unlike(uci.read_npz(at / "u.npz")["X"], None)),
        "one trial (--eeg_file)": of_bytes("a.csv", [b"1,2,3,4\n5,6,7,8\n0,0,0,1e3\n"], partial(read_one, config)),
    }


def read_one(config: Namespace, at: Path) -> str:
    """What is wrong with the trial of an --eeg_file."""
    from captioning.captioner import read_eeg_file

    return unlike(read_eeg_file(str(at / "a.csv"), config).numpy(), (1, 3, 4))


def unlike(values: np.ndarray, shape: tuple | None) -> str:
    """What is wrong with values that were read: another shape, or not finite."""
    if shape is not None and values.shape != shape:
        return f"shape {values.shape}, expected {shape}"
    return "" if np.isfinite(values).all() else "values that are not finite"


