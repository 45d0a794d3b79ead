"""EDF+ and BDF+ files with gaps, written from their specification (www.edfplus.info), as no package writes them."""

import numpy as np


def write_edf_plus(path, signal, sfreq, starts, marks=(), kind="EDF+D", names=None, seconds=1.):
    """signal [channels, samples] in microvolts, cut into records that start at `starts` [records] in s; marks: (onset in s,
    text), put into the records in turn."""
    bdf = kind.startswith("BDF")
    size, top, physical = (3, 2**23 - 1, 10000) if bdf else (2, 32767, 1000)
    names, per_record, room = names or ["Fz", "Cz", "Pz", "Oz"][:len(signal)], round(sfreq * seconds), 120
    labels = [*names, f"{kind[:3]} Annotations"]

    def column(values, width):
        return "".join(f"{value!s:<{width}}"[:width] for value in values).encode()

    n = len(names)
    head = (b"\xffBIOSEMI" if bdf else b"0       ") + column(["X X X X", "Startdate 01-JAN-2020 X X X"], 80)
    head += b"01.01.2010.00.00" + column([256 * (n + 2)], 8) + column([kind], 44) + column([len(starts)], 8)
    head += column([f"{seconds:g}"], 8) + column([n + 1], 4)
    head += column(labels, 16) + column([""] * (n + 1), 80) + column(["uV"] * n + [""], 8)
    head += column([-physical] * n + [-1], 8) + column([physical] * n + [1], 8)
    head += column([-top - 1] * (n + 1), 8) + column([top] * (n + 1), 8) + column([""] * (n + 1), 80)
    head += column([per_record] * n + [room // size], 8) + column([""] * (n + 1), 32)
    scale = (2 * top + 1) / (2 * physical)
    digital = np.clip(np.rint((np.asarray(signal) + physical) * scale) - top - 1, -top - 1, top).astype("<i4")
    body = b""
    for number, start in enumerate(starts):
        part = np.ascontiguousarray(digital[:, number * per_record:(number + 1) * per_record])
        body += part.view(np.uint8).reshape(n, -1, 4)[:, :, :size].tobytes()
        texts = f"+{start:g}\x14\x14\0" + "".join(f"+{onset:g}\x14{text}\x14\0" for onset, text in
                                                  list(marks)[number::len(starts)])
        body += texts.encode().ljust(room, b"\0")
    path.write_bytes(head + body)
    return path
