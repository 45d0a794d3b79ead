"""Send a recording over the Lab Streaming Layer as an amplifier does, to try stream.py without one.

    python -m sources.replay new.edf --lsl replay
    python stream.py --model_path runs/mine/captioner --lsl replay --markers replay-markers

The samples are in microvolts and carry time stamps of the recording's own rate. Annotations go to the stream NAME-markers.
"""

import sys
import time

from runtime import options
from runtime.errors import exits_cleanly

import numpy as np

from . import lsl, raw_files
from .channel_kinds import eeg_channels
from .events import is_mark

CHUNK_SECONDS = .1  # of samples that are sent together


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m sources.replay"
    parser.add_argument("recording", help="recording of any format that prepare_data.py raw reads")
    parser.add_argument("--lsl", required=True, metavar="NAME", help="name of the stream")
    parser.add_argument("--speed", type=options.bounded(float, .01), default=1., help="times as fast as it was recorded")
    parser.add_argument("--wait", type=options.bounded(float, 0), default=60., help="seconds to wait for a receiver")
    parser.add_argument("--linger", type=options.bounded(float, 0), default=5., help="seconds until the streams close, for "
                        "receivers that are behind")
    parser.add_argument("--lose", type=options.bounded(float, 0), nargs=2, metavar=("START", "END"),
                        help="leave out the samples between these seconds, as a bad connection does")
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    lsl.require_lsl("--lsl")
    raw, _ = raw_files.open_raw(args.recording)
    names, _ = eeg_channels(raw, (), args.recording)
    onsets = raw.annotations.onset - raw.first_time
    marks = [(onset, str(text)) for onset, text in zip(onsets, raw.annotations.description, strict=True)
             if not is_mark(str(text))]
    send(raw.get_data(picks=names) * 1e6, names, float(raw.info["sfreq"]), marks, args)


def send(signal: np.ndarray, names: list[str], sfreq: float, marks: list[tuple[float, str]], args: object) -> None:
    """Send signal [channels, n] in microvolts and marks (onset in s, text). args: the options of this program."""
    import pylsl

    eeg = pylsl.StreamInfo(args.lsl, "EEG", len(names), sfreq, pylsl.cf_double64, f"{args.lsl}-eeg")
    eeg.set_channel_labels(list(names))
    eeg.set_channel_units("microvolts")
    eeg.set_channel_types("EEG")
    outlet = pylsl.StreamOutlet(eeg)
    marker = pylsl.StreamOutlet(pylsl.StreamInfo(f"{args.lsl}-markers", "Markers", 1, 0, pylsl.cf_string,
                                                 f"{args.lsl}-markers"))
    outlet.wait_for_consumers(args.wait)
    if marks:
        marker.wait_for_consumers(1.)
    start, begun = pylsl.local_clock(), time.perf_counter()
    size, sent = max(1, round(CHUNK_SECONDS * sfreq)), 0
    for low in range(0, signal.shape[1], size):
        numbers = np.arange(low, min(low + size, signal.shape[1]))
        while sent < len(marks) and marks[sent][0] * sfreq <= numbers[-1]:
            marker.push_sample([marks[sent][1]], start + marks[sent][0])
            sent += 1
        if args.lose:
            numbers = numbers[(numbers < args.lose[0] * sfreq) | (numbers >= args.lose[1] * sfreq)]
        for number in numbers:
            outlet.push_sample(signal[:, number].tolist(), start + number / sfreq, bool(number == numbers[-1]))
        time.sleep(max(0., (low + size) / sfreq / args.speed - (time.perf_counter() - begun)))
    ends = time.perf_counter() + args.linger
    while outlet.have_consumers() and time.perf_counter() < ends:
        time.sleep(.05)
    print(f"{signal.shape[1] / sfreq:.1f} s and {sent} markers sent")


if __name__ == "__main__":
    sys.exit(main())
