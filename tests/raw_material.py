"""Small made-up recordings, pictures and an XDF writer for the tests of sources/raw.py."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

CHANNELS = ["Fz", "Cz", "Pz", "Oz", "O1", "O2", "P3", "P4"]
SFREQ, ONSETS = 200., np.arange(3., 37., 1.25)  # Hz, s


def make_raw(n_seconds=40, sfreq=SFREQ, channels=CHANNELS, seed=0, texts=("cat", "dog")):
    """mne Raw of 10 microvolts of noise in V, with annotations `texts` in turn at ONSETS."""
    import mne

    rng = np.random.default_rng(seed)
    info = mne.create_info(list(channels), sfreq, "eeg")
    raw = mne.io.RawArray(rng.normal(0, 10e-6, (len(channels), round(n_seconds * sfreq))), info, verbose="error")
    raw.set_annotations(mne.Annotations(ONSETS, 0.1, [texts[i % len(texts)] for i in range(len(ONSETS))]))
    return raw


def template_montage():
    """MNE's name of its 10-05 montage: colin27_1005 since 1.13, which drops the earlier one in 1.14."""
    import mne

    return "colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005"


def save(raw, path):
    """Write a recording by the ending of its name; returns the path."""
    import mne

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".fif"):
        raw.save(path, overwrite=True, verbose="error")
    else:
        mne.export.export_raw(path, raw, overwrite=True, verbose="error")
    return path


def make_pictures(folder, classes=("cat", "dog"), count=4, flat=False):
    """`<class>/<class>_<n>.png`, or all in one folder; each of another colour."""
    for number, kind in enumerate(classes):
        for i in range(count):
            path = Path(folder) / ("" if flat else kind) / f"{kind}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 10), (50 * number, 40 * i, 90)).save(path)
    return Path(folder)


def write_table(path, header, *rows):
    """A TSV of rows of cells."""
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)), encoding="utf-8")
    return path


def write_xdf(path, streams, footers=True):
    """An XDF 1.0 file of streams {name, type, rate, channels: [(label, unit, type)], times, values}, written from its
    specification (github.com/sccn/xdf/wiki/Specifications)."""
    def chunk(tag, content):
        return b"\x08" + struct.pack("<QH", len(content) + 2, tag) + content

    out = b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    for number, s in enumerate(streams, 1):
        text = isinstance(s["values"][0][0], str)
        channels = "".join(f"<channel><label>{label}</label><unit>{unit}</unit><type>{kind}</type></channel>"
                           for label, unit, kind in s.get("channels", ()))
        out += chunk(2, struct.pack("<I", number) + (
            f"<?xml version='1.0'?><info><name>{s['name']}</name><type>{s['type']}</type><channel_count>"
            f"{len(s['values'][0])}</channel_count><nominal_srate>{s['rate']}</nominal_srate><channel_format>"
            f"{'string' if text else 'float32'}</channel_format><desc><channels>{channels}</channels></desc></info>"
        ).encode())
        rows = list(zip(s["times"], s["values"], strict=True))
        for start in range(0, len(rows), 100):
            part = rows[start:start + 100]
            body = struct.pack("<IBQ", number, 8, len(part))
            for time, row in part:
                body += struct.pack("<Bd", 8, time)
                for value in row:
                    body += struct.pack("<BI", 4, len(value)) + value.encode() if text else struct.pack("<f", value)
            out += chunk(3, body)
    for number, _ in enumerate(streams if footers else (), 1):
        out += chunk(6, struct.pack("<I", number) + b"<?xml version='1.0'?><info><sample_count>1</sample_count></info>")
    path.write_bytes(out)
    return path
