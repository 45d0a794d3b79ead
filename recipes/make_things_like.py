"""Simulated EEG in the layout of THINGS-EEG2, to try its protocol without the real files.

    python prepare_data.py simulated --output runs/repeated --n_pictures 240 --trials_per_picture 16 --snr 0.3
    python -m recipes.make_things_like --eeg_dataset runs/repeated --test_pictures 40 --output runs/things_like
    python prepare_data.py things --folder runs/things_like --average_test none --output data/things_like

Every picture is a concept of its own. Training pictures keep 4 repetitions, as in THINGS-EEG2; test pictures keep all.
"""

import shutil
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly

import numpy as np

TRAINING_REPETITIONS = 4


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.make_things_like"
    parser.add_argument("--eeg_dataset", required=True, help="data set folder in which each person saw each picture "
                        "equally often, at least 4 times")
    parser.add_argument("--image_dir", help="picture folder (unset: images/ in the data set folder)")
    parser.add_argument("--test_pictures", type=options.positive, default=40, help="number of test pictures")
    parser.add_argument("--output", required=True, help="folder to write the files to")
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from eegdata.data_paths import find_data
    from eegdata.pictures import picture_path
    from eegdata.trials import load_trials

    trials, output = load_trials(args.eeg_dataset), Path(args.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"--output {output}: is there already, and pictures of another run would stay among the new ones; "
                         "choose another folder, or delete this one")
    names = np.array(trials.names(slice(None)))
    pictures = sorted(set(names))
    tested = set(np.random.default_rng(0).permutation(pictures)[:args.test_pictures])
    counts = {(person, name): 0 for person in trials.subject.unique().tolist() for name in pictures}
    for person, name in zip(trials.subject.tolist(), names, strict=True):
        counts[person, name] += 1
    if len(set(counts.values())) > 1 or min(counts.values()) < TRAINING_REPETITIONS or len(tested) == len(pictures):
        raise InputError(f"--eeg_dataset {args.eeg_dataset}: {len(pictures)} pictures, seen {min(counts.values())} to "
                         f"{max(counts.values())} times by each person; expected equally often, at least "
                         f"{TRAINING_REPETITIONS} times, and more pictures than --test_pictures {args.test_pictures}; "
                         "see --trials_per_picture of prepare_data.py simulated")
    image_dir = find_data(args.eeg_dataset, image_dir=args.image_dir, needed=("image_dir",)).image_dir
    for part, kept in (("training", [name for name in pictures if name not in tested]), ("test", sorted(tested))):
        for number, name in enumerate(kept, 1):
            concept = name.replace("_", "-")
            place = output / f"{part}_images" / f"{number:05d}_{concept}"
            place.mkdir(parents=True, exist_ok=True)
            source = picture_path(image_dir, name)
            shutil.copy(source, place / f"{concept}_01{source.suffix.lower().replace('.jpeg', '.jpg')}")
        for person in trials.subject.unique().tolist():
            own = trials.subject.numpy() == person
            eeg = np.stack([trials.eeg[np.flatnonzero(own & (names == name))] for name in kept])
            file = output / f"sub-{person:02d}" / f"preprocessed_eeg_{part}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            times = np.arange(eeg.shape[-1]) / trials.sfreq
            np.save(file, {"preprocessed_eeg_data": eeg if part == "test" else eeg[:, :TRAINING_REPETITIONS],
                           "ch_names": list(trials.ch_names), "times": times}, allow_pickle=True)
    print(f"{len(pictures) - len(tested)} training and {len(tested)} test pictures written to {output}")


if __name__ == "__main__":
    main()
