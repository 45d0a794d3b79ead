"""Turn BDD, MindBigData-MNIST and MindBigData-ImageNet into windows for the encoder's pretraining.

    python pretrain_data_processor.py --dir data/pretrain

`--dir` holds BDD/{Baseline,Image-Blank,VisualQA,Left-Right_Arrows}/*.csv, MindBigData-IN-v1.06/IN.txt and
MindBigData-Imagenet/*.csv. Each of the three may be absent, and BDD's folders may also lie directly in it.

The output is train.pt, val.pt, test.pt ({"samples": [windows, 5, 256] float32, "labels": ones}) and standard.pt
({"mean_vals", "stdev_vals": [1, 5, 1], microvolts}). Each channel is normalised by its mean and standard deviation over the
training windows. No recording (a file of BDD and ImageNet, a trial of MNIST) is in two parts. Only with --min_samples can a
window lack samples: these are 0, the mean, and "lengths" counts the others.
"""

import argparse
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import locks, options
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import beside, quoted

import numpy as np

from eegdata.parts import PARTS, check_fractions, part_sizes

if TYPE_CHECKING:
    from sources.emotiv_insight import Windows


def parse(argv: list[str] | None) -> options.Options:
    """The options of a command line; None: the program's own."""
    parser = options.make_parser(__doc__)
    parser.add_argument("--dir", required=True, help="folder of the downloaded sources, laid out as above")
    parser.add_argument("--output", help="folder to write the four .pt files to (unset: --dir)")
    parser.add_argument("--val_fraction", type=float, default=0.1,
                        help="share of each source's recordings for validation, between 0 and 1")
    parser.add_argument("--test_fraction", type=float, default=0.1,
                        help="share of each source's recordings for testing, between 0 and 1")
    options.seed_option(parser, "the draw of recordings into parts")
    parser.add_argument("--min_samples", type=int, default=256,
                        help="smallest number of recorded samples in a window (1 to 256, at 128 Hz); shorter windows are "
                             "left out and counted")
    parser.add_argument("--skip_damaged", action="store_true",
                        help="leave out and count damaged files and trials, instead of stopping at the first")
    return options.parse(parser, argv)


def check_options(args: argparse.Namespace) -> None:
    if not Path(args.dir).is_dir():
        raise InputError(f"--dir {args.dir}: no such folder; expected one that holds BDD, MindBigData-IN-v1.06 or "
                         "MindBigData-Imagenet")
    check_fractions(args.val_fraction, args.test_fraction)
    if not 1 <= args.min_samples <= 256:
        raise InputError(f"--min_samples {args.min_samples}: expected 1 to 256, the window's length")


def read_sources(args: argparse.Namespace) -> dict[str, "Windows"]:
    """{source name: Windows} of the sources that are present; prints which are not."""
    from sources import bdd, mindbigdata

    folder = Path(args.dir)
    sources = {
        "BDD": (bool(bdd.find_recordings(folder)), bdd.read_windows),
        "MindBigData-MNIST": ((folder / mindbigdata.MNIST_FILE).is_file(), mindbigdata.read_mnist),
        "MindBigData-ImageNet": (bool(mindbigdata.find_imagenet(folder)), mindbigdata.read_imagenet),
    }
    if not any(present for present, _ in sources.values()):
        raise InputError(f"--dir {folder}: none of the sources is there; expected BDD/{{{','.join(bdd.PARADIGMS)}}}/"
                         f"*.csv, {mindbigdata.MNIST_FILE} or {mindbigdata.IMAGENET_FOLDER}/*.csv")
    found = {}
    for name, (present, read) in sources.items():
        if not present:
            print(f"{name}: absent from {folder}, going on without it")
            continue
        found[name] = windows = read(folder, args.min_samples, args.skip_damaged)
        print(f"{name}: {len(set(windows.recordings))} recordings, {len(windows.samples)} windows; left out: "
              f"{windows.too_short} recordings shorter than {args.min_samples} samples, {len(windows.damaged)} damaged")
        for message in windows.damaged[:3]:
            print(f"  {message}")
    return found


def split_recordings(sources: dict[str, list[str]], val_fraction: float, test_fraction: float, seed: int) -> dict[str, str]:
    """Assign each source's recordings to parts at random: {recording id: "train" | "val" | "test"}.

    sources: {source name: recording ids, repeats allowed}. A source of three recordings or more is in every part, a smaller
    one in the training part only. Raises InputError if a part stays empty.
    """
    part_of = {}
    for name, recordings in sources.items():
        recordings = sorted(set(recordings))
        random.Random(f"{seed} {name}").shuffle(recordings)
        shares = (val_fraction, test_fraction) if len(recordings) >= len(PARTS) else (None, None)
        n_train, n_val, n_test = part_sizes(len(recordings), *shares)
        parts = ["val"] * n_val + ["test"] * n_test + ["train"] * n_train
        part_of |= dict(zip(recordings, parts, strict=True))
    if set(part_of.values()) != set(PARTS):
        counts = ", ".join(f"{name} {len(set(recordings))}" for name, recordings in sources.items())
        raise InputError(f"too few recordings to split into training, validation and test (usable: {counts}); at least "
                         "one source needs three")
    return part_of


def channel_statistics(samples: np.ndarray) -> tuple:
    """Mean and standard deviation of each channel over the measured samples: two float32 [1, channels, 1] tensors."""
    import numpy as np
    import torch

    from sources.emotiv_insight import CHANNELS

    measured = [samples[:, channel][~np.isnan(samples[:, channel])].astype(np.float64)
                for channel in range(len(CHANNELS))]
    deviations = [values.std(ddof=1) for values in measured]
    if not all(deviation > 0 for deviation in deviations):
        flat = [name for name, deviation in zip(CHANNELS, deviations, strict=True) if not deviation > 0]
        raise InputError(f"channel {', '.join(flat)} is constant in all training windows, so it cannot be normalised; "
                         "check the recordings or take another --seed")
    as_tensor = (torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1)
                 for values in ([values.mean() for values in measured], deviations))
    return tuple(as_tensor)


def write_parts(output: Path, samples: np.ndarray, recordings: list[str], part_of: dict[str, str]) -> None:
    """Normalise with the training statistics and write train.pt, val.pt, test.pt and standard.pt, all or none.

    "run" tells files of one run from those of another, which share recordings: a kill may still come between two names.
    """
    from contextlib import ExitStack

    from runtime.atomic_files import atomic_path
    from runtime.runs import content_key

    import numpy as np
    import torch

    from sources.emotiv_insight import CHANNELS, SFREQ

    members = {part: np.array([part_of[recording] == part for recording in recordings]) for part in PARTS}
    mean, deviation = channel_statistics(samples[members["train"]])
    run = content_key([part_of, mean.tolist(), deviation.tolist()])
    contents = {"standard.pt": {"mean_vals": mean, "stdev_vals": deviation, "run": run}}
    for part, chosen in members.items():
        normalised = (torch.from_numpy(samples[chosen]) - mean) / deviation
        contents[f"{part}.pt"] = {
            "samples": normalised.nan_to_num(nan=0.0),
            "labels": torch.ones(len(normalised), dtype=torch.float32),
            "lengths": (~normalised[:, 0].isnan()).sum(dim=1),
            "channels": list(CHANNELS), "sfreq": SFREQ, "run": run,
            "recordings": [recording for recording, is_in in zip(recordings, chosen, strict=True) if is_in],
        }
    with ExitStack() as stack:  # they take their names together, once all are written
        for name, content in contents.items():
            with open(stack.enter_context(atomic_path(output / name)), "wb") as file:
                torch.save(content, file)
    print(f"{'part':<6} {'recordings':>10} {'windows':>8}")
    for part in PARTS:
        content = contents[f"{part}.pt"]
        print(f"{part:<6} {len(set(content['recordings'])):>10} {len(content['labels']):>8}")
    print(f"mean {mean.flatten().tolist()} and standard deviation {deviation.flatten().tolist()} microvolts of "
          f"{' '.join(CHANNELS)} (training)\nwritten to {output}: {', '.join(contents)}")


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    check_options(args)
    import numpy as np

    sources = read_sources(args)
    part_of = split_recordings({name: windows.recordings for name, windows in sources.items()},
                               args.val_fraction, args.test_fraction, args.seed)
    samples = np.concatenate([windows.stack() for windows in sources.values()])
    recordings = [recording for windows in sources.values() for recording in windows.recordings]
    output = Path(args.output or args.dir)
    with locks.only_run(output, "--output"):
        write_parts(output, samples, recordings, part_of)
    print(f"next: python train_eeg_classifier.py --pretrain --pretrained {quoted(str(output))} --output "
          f"{quoted(beside(output, 'pretrained_encoder'))}")


if __name__ == "__main__":
    sys.exit(main())
