"""MindBigData (Vivancos): Emotiv Insight trials of digits (`IN.txt`, MNIST) and of photographs (ImageNet).

`MindBigData-IN-v1.06/IN.txt`: a tab-separated row a channel, `id, event, device, channel, code, size, data`, where
`data` are `size` comma-separated samples, 2 s at about 128 Hz; the five rows of a trial share the event.
`MindBigData-Imagenet/*.csv`: a file a picture, no header, rows `channel,v1,v2,...`, 3 s at about 128 Hz.
"""

from pathlib import Path

from tqdm import tqdm

from errors import InputError

from .insight import CHANNELS, SKIPPED, WINDOW, Windows, join_channels, read_numbers

MNIST_FILE = Path("MindBigData-IN-v1.06") / "IN.txt"
IMAGENET_FOLDER = Path("MindBigData-Imagenet")
MNIST_COLUMNS = ("id", "event", "device", "channel", "code", "size", "data")


def parse_mnist_row(line, where):
    """One row of IN.txt -> (event, channel, samples [size])."""
    cells = line.strip("\r\n").split("\t")
    if len(cells) != len(MNIST_COLUMNS):
        raise InputError(f"{where}: {len(cells)} tab-separated cells, expected {len(MNIST_COLUMNS)} "
                         f"({', '.join(MNIST_COLUMNS)})")
    event, device, channel, size = (cells[i].strip() for i in (1, 2, 3, 5))
    if device != "IN":
        raise InputError(f"{where}: device {device[:20]!r}, expected IN (Emotiv Insight)")
    data = cells[6].split(",")
    if not size.isdecimal() or len(data) != int(size):
        raise InputError(f"{where}: {len(data)} samples, but the column size says {size[:20]!r}; the row is damaged")
    return event, channel, read_numbers(data, where)


def read_mnist(folder, min_samples, skip_damaged=False):
    """The windows of `folder`/MindBigData-IN-v1.06/IN.txt: a trial's first 256 samples; a recording is an event."""
    path = Path(folder) / MNIST_FILE
    windows = Windows(min_samples, skip_damaged)
    waiting = {}  # event -> rows of a trial whose channels have not all been seen

    def finish(event):
        try:
            trial = join_channels(waiting.pop(event), f"{path}, event {event}")
        except InputError as error:
            windows.report_damage(error)
        else:
            windows.add(f"MindBigData-IN/{event}", [trial[:, :WINDOW]])

    with open(path, "rb") as file, tqdm(desc="MindBigData-MNIST", unit="B", unit_scale=True,
                                        total=path.stat().st_size) as progress:
        for number, raw in enumerate(file, 1):
            progress.update(len(raw))
            if raw.isspace():
                continue
            try:
                event, channel, samples = parse_mnist_row(raw.decode("ascii", "replace"), f"{path}, line {number}")
            except InputError as error:
                windows.report_damage(error)
                continue
            waiting.setdefault(event, {})[channel] = samples
            if len(waiting[event]) == len(CHANNELS):
                finish(event)
    for event in list(waiting):
        finish(event)
    return windows


def find_imagenet(folder):
    return sorted(path for path in (Path(folder) / IMAGENET_FOLDER).rglob("*.csv") if not path.name.startswith("."))


def read_imagenet_file(path):
    """One CSV -> [5, samples] (microvolts), the first `SKIPPED` samples left out."""
    rows = {}
    for number, line in enumerate(path.read_bytes().decode("ascii", "replace").splitlines(), 1):
        channel, *cells = line.split(",")
        rows[channel.strip()] = read_numbers(cells, f"{path}, line {number}")
    return join_channels(rows, path)[:, SKIPPED:]


def read_imagenet(folder, min_samples, skip_damaged=False):
    """The windows of `folder`/MindBigData-Imagenet; a recording is a file."""
    windows = Windows(min_samples, skip_damaged)
    for path in tqdm(find_imagenet(folder), desc="MindBigData-ImageNet", unit="file"):
        try:
            windows.add(f"MindBigData-Imagenet/{path.name}", [read_imagenet_file(path)])
        except InputError as error:
            windows.report_damage(error)
    return windows
