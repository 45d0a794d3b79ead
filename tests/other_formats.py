"""Recordings of formats that no package writes, from what is published of their layout.

Each function takes `counts` [channels, samples] of 16 bits, channel names, a sampling rate and events (sample, code), and
writes a file in which one count is MICROVOLTS.
"""

import struct
from itertools import pairwise

import numpy as np

MICROVOLTS = .1
RANGE = 3276.8  # microvolts: of 16 bits


def _texts(values, width):
    return b"".join(str(value).encode().ljust(width)[:width] for value in values)


def _numbers(kind, *values):
    return np.array(values, kind).tobytes()


def write_gdf(path, counts, names, sfreq, events):
    """GDF 1.25 (Schloegl 1998, https://arxiv.org/abs/cs/0608052): as EDF, but with binary numbers and a table of events."""
    n, count = counts.shape
    head = b"GDF 1.25" + _texts(["X X", "X"], 80) + b"2020010112000000" + _numbers("<i8", 256 * (n + 1)) + bytes(44)
    head += _numbers("<i8", count) + struct.pack("<III", 1, round(sfreq), n)  # records of one sample
    head += _texts(names, 16) + _texts([""] * n, 80) + _texts(["uV"] * n, 8)
    head += _numbers("<f8", *[-RANGE] * n, *[RANGE - MICROVOLTS] * n) + _numbers("<i8", *[-32768] * n, *[32767] * n)
    head += _texts([""] * n, 80) + _numbers("<i4", *[1] * n, *[3] * n) + bytes(32 * n)  # one sample of type int16 each
    at, codes = np.array(events).T
    table = bytes([1]) + round(sfreq).to_bytes(3, "little") + _numbers("<u4", len(at)) + _numbers("<u4", *at + 1)
    path.write_bytes(head + counts.T.astype("<i2").tobytes() + table + _numbers("<u2", *codes))
    return path


def write_neuroscan(path, counts, names, sfreq, events):
    """Neuroscan .cnt of 16 bits (https://paulbourke.net/dataformats/eeg): SETUP, an ELECTLOC a channel, data, events."""
    n, count = counts.shape
    head = bytearray(900)
    head[:12] = b"Version 3.0\0"
    head[225:245] = b"01/01/2012:00:00\0\0\0\0"
    start = 900 + 75 * n
    for at, kind, value in ((370, "<H", n), (376, "<H", round(sfreq)), (864, "<i", count),
                            (886, "<i", start + 2 * n * count), (890, "<f", count / sfreq)):
        struct.pack_into(kind, head, at, value)
    for i, name in enumerate(names):
        place = bytearray(75)
        place[:len(name)] = name.encode()
        struct.pack_into("<ff", place, 19, i, i)
        struct.pack_into("<f", place, 59, MICROVOLTS * 204.8)  # sensitivity
        struct.pack_into("<f", place, 71, 1)
        head += place
    table = b"".join(struct.pack("<HBcl", code, 0, b"\0", start + 2 * n * (at + 1)) for at, code in events)
    path.write_bytes(head + counts.T.astype("<i2").tobytes() + struct.pack("<Bll", 1, len(table), 0) + table)
    return path


def write_egi(path, counts, names, sfreq, events):
    """EGI simple binary, version 2, unsegmented: a channel of each event code behind those of EEG, which have no names."""
    n, count = counts.shape
    codes = sorted({code for _, code in events})
    head = struct.pack(">i6hi5h", 2, 2020, 1, 1, 12, 0, 0, 0, round(sfreq), n, 1, 16, round(2 * RANGE))
    head += struct.pack(">ih", count, len(codes)) + b"".join(f"c{code:03d}".encode() for code in codes)
    lines = np.zeros((len(codes), count), int)
    for at, code in events:
        lines[codes.index(code), at] = 1
    path.write_bytes(head + np.vstack([counts, lines]).T.astype(">i2").tobytes())
    return path


def write_set(path, counts, names, sfreq, events, trials=1):
    """EEGLAB as MATLAB 7.3 saves it (-v7.3): HDF5 of columns first, texts as numbers of UTF-16, structs as references.

    Codes that are floats stay numbers."""
    import h5py

    def write(group, name, value):
        text = isinstance(value, str)
        values = np.array([[ord(letter)] for letter in value], "<u2") if text else np.atleast_2d(value).T
        made = group.create_dataset(name, data=values)
        made.attrs["MATLAB_class"] = np.bytes_("char" if text else "single" if values.dtype == "f4" else "double")
        if text:
            made.attrs["MATLAB_int_decode"] = np.int32(2)
        return made

    def structs(name, **fields):
        file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")
        for field, values in fields.items():
            references = [[write(file.require_group("#refs#"), f"{name}_{field}_{i}", value).ref]
                          for i, value in enumerate(values)]
            file[name].create_dataset(field, data=references, dtype=h5py.ref_dtype)

    with h5py.File(path, "w", userblock_size=512) as file:
        single = {"nbchan": len(names), "trials": trials, "pnts": counts.shape[1], "srate": sfreq, "xmin": 0,
                  "xmax": (counts.shape[1] - 1) / sfreq}
        for name, value in single.items():
            write(file, name, float(value))
        write(file, "setname", "one")
        write(file, "ref", "common")
        write(file, "data", (counts * MICROVOLTS).astype("f4"))
        structs("chanlocs", labels=names, type=["EEG"] * len(names))
        structs("event", type=[code if isinstance(code, float) else str(code) for _, code in events],
                latency=[at + 1. for at, _ in events])
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return path


def write_curry(path, counts, names, sfreq, events, remarks):
    """Curry 8: values in microvolts (.cdt), parameters (.cdt.dpa) and events (.cdt.cef); remarks: a text for each event."""
    n, count = counts.shape

    def block(name, rows):
        lines = [f"{name} START", f"{name} END", "", f"{name} START_LIST", *rows, f"{name} END_LIST", ""]
        return "".join(f"{line}\n" for line in lines)

    facts = {"FileVersion": 804, "NumSamples": count, "NumChannels": n, "NumTrials": 1, "SampleFreqHz": sfreq,
             "TriggerOffsetUsec": 0, "DataFormat": "FLOAT", "DataSampOrder": "SAMP", "SampleTimeUsec": 1e6 / sfreq,
             "StartYear": 2020, "StartMonth": 1, "StartDay": 1, "StartHour": 12, "StartMin": 0, "StartSec": 0,
             "StartMillisec": 0, "DataByteOrder": "INTEL", "AmplifierInfo": ""}
    text = "DATA_PARAMETERS START\n" + "".join(f"{name} = {value}\n" for name, value in facts.items())
    text += "DATA_PARAMETERS END\n\nDEVICE_PARAMETERS START\n" + f"DataUnit = uV\nNumChanThisGroup = {n}\n"
    text += "DEVICE_PARAMETERS END\n\n" + block("LABELS", names) + block("LANDMARKS", [])
    text += block("SENSORS", [f"{i} {i} {i}" for i in range(1, n + 1)])
    text += block("IMPEDANCE_VALUES", [" ".join(["-1"] * n)])
    text += block("EPOCH_INFORMATION", [])
    path.with_name(path.name + ".dpa").write_text(text, encoding="utf-8")
    rows = [f"{at} 1 {code} 0 {at} {at} 0 0 0 0 0" for at, code in events]
    text = block("NUMBER_LIST", rows) + block("REMARK_LIST", remarks)
    path.with_name(path.name + ".cef").write_text(text, encoding="utf-8")
    path.write_bytes((counts.T * MICROVOLTS).astype("<f4").tobytes())
    return path


def write_mff(path, counts, sfreq, starts, events):
    """EGI's folder of XML and one file of data, version 3; the last channel is the reference. starts: (first sample, s) of
    the stretches between pauses; events: (s, code)."""
    n, count = counts.shape
    edges = [*(first for first, _ in starts), count]

    def xml(name, root, content):
        space = {"fileInfo": "info", "dataInfo": "info_n", "eventTrack": "event"}.get(root, root)
        (path / name).write_text(f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='http://www.egi.com/{space}_mff'>"
                                 f"{content}</{root}>", encoding="utf-8")

    def moment(seconds):
        return f"2020-01-01T12:{int(seconds // 60):02d}:{seconds % 60:09.6f}+00:00"

    path.mkdir()
    sensors = "".join(f"<sensor><name>{'VREF' * (i == n)}</name><number>{i}</number><type>{int(i == n)}</type><x>{i}</x>"
                      f"<y>{-i}</y><z>5</z></sensor>" for i in range(1, n + 1))
    layout = f"<name>net</name><sensors>{sensors}</sensors>"
    xml("info.xml", "fileInfo", f"<mffVersion>3</mffVersion><recordTime>{moment(0)}</recordTime>")
    xml("info1.xml", "dataInfo", "<generalInformation><fileDataType><EEG/></fileDataType></generalInformation>")
    xml("sensorLayout.xml", "sensorLayout", layout)
    xml("coordinates.xml", "coordinates", f"<sensorLayout>{layout}</sensorLayout>")
    lengths = [(edges[i + 1] - edges[i]) / sfreq for i in range(len(starts))]
    xml("epochs.xml", "epochs", "".join(
        f"<epoch><beginTime>{round(start * 1e6)}</beginTime><endTime>{round((start + length) * 1e6)}</endTime>"
        f"<firstBlock>{i}</firstBlock><lastBlock>{i}</lastBlock></epoch>" for i, ((_, start), length) in
        enumerate(zip(starts, lengths, strict=True), 1)))
    xml("Events.xml", "eventTrack", "<name>Events</name><trackType>EVNT</trackType>" + "".join(
        f"<event><beginTime>{moment(seconds)}</beginTime><duration>1</duration><code>{code}</code><label/></event>"
        for seconds, code in events))
    blocks = b""
    for first, end in pairwise(edges):
        head = [1, 4 * (5 + 2 * n), 4 * n * (end - first), n, *(4 * i * (end - first) for i in range(n))]
        blocks += _numbers("<i4", *head, *[sfreq << 8 | 32] * n, 0)
        blocks += (counts[:, first:end] * MICROVOLTS).astype("<f4").tobytes()
    (path / "signal1.bin").write_bytes(blocks)
    return path
