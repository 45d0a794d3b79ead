"""Cross-validated accuracy of the default encoder, its branches, other networks and all baselines: the work of
recipes/benchmark_encoders.sh.

    python -m recipes.benchmark_encoders --output runs/encoders --n170 runs/encoders/n170 --uci runs/encoders/uci \\
        --simulated runs/encoders/simulated_0.1 runs/encoders/simulated_0.2

Each fold is a split of its own: the trials of one recording, one person or a fifth of the people are the test part, and one
or two others validation. Simulated data keep the split of their folder, with all and with a third of the training pictures.
Predictions are kept in --output, so an interrupted run goes on, and a run with more seeds or other networks computes only
what is not there: a method's numbers are of the seeds that it was run with. Files: table.md, benchmark.png. The exit code
is 1 where the whole interval of the default encoder minus the best baseline is below 0. Which baseline is best is told from
the test trials themselves.
"""

import argparse
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runtime import options
from runtime.atomic_files import atomic_path
from runtime.errors import InputError, exits_cleanly
from runtime.locks import only_run

import numpy as np

OURS, ALONE = "default encoder", "transformer alone"
BRANCHES = ("linear branch", "tangent branch")
NETWORKS = {"EEGNet": "braindecode:EEGNet", "ShallowFBCSPNet": "braindecode:ShallowFBCSPNet", "NICE": "nice"}
THIRD = 1 / 3


@dataclass
class Task:
    """A data set, cut into folds of (train, val, test) positions; `merged`: the classes after the first are one."""

    name: str
    folder: str
    by: str
    share: float = 1.
    merged: bool = False

    @cached_property
    def trials(self):
        from eegdata.trials import load_trials

        return load_trials(self.folder)

    @property
    def clusters(self) -> np.ndarray:
        """What intervals draw, [N]: recordings, people or pictures."""
        return getattr(self.trials, {"recording": "recording", "picture": "image"}.get(self.by, "subject")).numpy()

    def labels(self) -> np.ndarray:
        labels = self.trials.label.numpy()
        return np.minimum(labels, 1) if self.merged else labels

    def classes_of(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes [N] that probabilities [N, K] mean; merged ones share the prior of one."""
        if not self.merged:
            return probabilities.argmax(1)
        return (probabilities[:, 0] * (probabilities.shape[1] - 1) < probabilities[:, 1:].sum(1)).astype(int)

    def folds(self, seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if self.by == "picture":
            return [self._given()]
        groups, found = self.clusters, []
        names = np.unique(groups)
        parts = [names[k::5] for k in range(5)] if len(names) > 10 else names[:, None]
        for number, tested in enumerate(parts):
            rng = np.random.default_rng([seed, number])
            rest = np.setdiff1d(names, tested)
            kept = rest if len(rest) > 2 else self.trials.recording.numpy()  # two people: validate on recordings
            units, test = (groups if len(rest) > 2 else kept), np.isin(groups, tested)
            others = np.unique(units[~test])
            val = np.isin(units, rng.choice(others, min(2, len(others) - 1), replace=False)) & ~test
            found.append(tuple(np.flatnonzero(part) for part in (~test & ~val, val, test)))
        return found

    def _given(self):
        from eegdata.splits import load_split

        split = load_split(Path(self.folder) / "splits.pth", self.trials)
        train, val, test = (split[part].numpy() for part in ("train", "val", "test"))
        image = self.trials.image.numpy()
        kept = np.random.default_rng(0).random(image.max() + 1) < self.share
        return train[kept[image[train]]], val[kept[image[val]]], test


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.benchmark_encoders"
    parser.add_argument("--output", required=True, help="folder for encoders, predictions, table and plot")
    parser.add_argument("--n170", help="data set folder: leave one recording out, leave one person out")
    parser.add_argument("--uci", help="data set folder: across people, first or second picture, and three classes")
    parser.add_argument("--simulated", nargs="*", default=[], help="data set folders of the simulator")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS), help="other networks to "
                        "train; they take most of the time")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of training and of validation parts")
    return options.parse(parser, argv)


def tasks_of(args: argparse.Namespace) -> list[Task]:
    found = []
    if args.n170:
        found += [Task("N170, leave one recording out", args.n170, "recording"),
                  Task("N170, leave one person out", args.n170, "person")]
    if args.uci:
        found += [Task("UCI across people, first or second picture", args.uci, "person", merged=True),
                  Task("UCI across people, three classes", args.uci, "person")]
    for folder in args.simulated:
        from eegdata.dataset_folder import read_record

        snr = read_record(folder)["about"]["snr"]
        found += [Task(f"simulated, SNR {snr:g}{more}", folder, "picture", share)
                  for share, more in ((1., ""), (THIRD, ", a third of the pictures"))]
    return found


def _trained(task, fold, seed, folder, *more):
    """The encoder of train_eeg_classifier.py on a fold."""
    from eegdata.splits import write_splits
    from encoders import load_encoder

    folder.mkdir(parents=True, exist_ok=True)
    records = task.trials.trial.numpy()
    write_splits(folder / "splits.pth", {part: records[rows].tolist()
                                         for part, rows in zip(("train", "val", "test"), fold, strict=True)})
    subprocess.run([sys.executable, "train_eeg_classifier.py", "--eeg_dataset", task.folder, "--splits_path",
                    folder / "splits.pth", "--output", folder / "encoder", "--loss_weight", "0", "--seed", str(seed),
                    "--overwrite", *more], check=True, stdout=subprocess.DEVNULL)
    return load_encoder(folder / "encoder")


def predictions(task: Task, fold: tuple, seed: int, folder: Path, methods: list[str]) -> dict[str, np.ndarray]:
    """Class probabilities [m, K] of a fold's test trials by each of the methods; with the default encoder its branches."""
    import torch

    from encoders import encode
    from encoders.classical import BASELINES, classical_baseline

    train, val, test = fold
    trials, known, found = task.trials, np.concatenate([train, val]), {}
    labels, eeg = trials.label.numpy(), trials.eeg[torch.from_numpy(test)]
    shape = len(test), len(trials.class_names)

    def by_network(name, *more):
        return encode(_trained(task, fold, seed, folder / name, *more), trials.eeg, test)[1].softmax(1).numpy()

    if OURS in methods:
        encoder = _trained(task, fold, seed, folder / "default")
        found[OURS] = encode(encoder, trials.eeg, test)[1].softmax(1).numpy()
        with torch.no_grad():
            found[BRANCHES[0]] = encoder.linear(eeg)[1].softmax(1).numpy()
            found[BRANCHES[1]] = (np.full(shape, 1 / shape[1]) if encoder.tangent is None
                                  else encoder.tangent(eeg).softmax(1).numpy())
    if ALONE in methods:
        found[ALONE] = by_network("neural", "--branches", "neural")
    for name in filter(methods.__contains__, NETWORKS):
        found[name] = by_network(name, "--encoder", NETWORKS[name])
    for name in filter(methods.__contains__, BASELINES):
        probabilities, classes = classical_baseline(trials.eeg, labels, known, test, name, trials.sfreq, seed)
        found[name] = np.zeros(shape)
        found[name][:, classes] = probabilities
    return found


def cross_validated(task: Task, seed: int, output: Path, networks: list[str]) -> dict[str, np.ndarray]:
    """The class [N] that each method says of every tested trial, -1 of the others; tasks on one data set share files.

    A data set is known by its content, as many a folder is called data. Only what a file lacks is computed.
    """
    from encoders.classical import BASELINES

    methods = [OURS, *BRANCHES, ALONE, *networks, *BASELINES]
    kind = f"{Path(task.folder).name}_{task.trials.fingerprint[:8]}_{task.by}_{task.share:.2f}_{seed}"
    said = {}
    with only_run(output / kind, "--output"):
        for number, fold in enumerate(task.folds(seed)):
            file = output / kind / f"{number}.npz"
            found = _kept(file, fold[2]) if file.is_file() else {}
            lacking = [name for name in methods if name not in found]
            if lacking:
                found |= predictions(task, fold, seed, output / kind / str(number), lacking)
                with atomic_path(file) as temporary, open(temporary, "wb") as stream:
                    np.savez(stream, **found)
                print(f"{task.name}, seed {seed}: fold {number + 1}", flush=True)
            for name in sorted(found, key=[*methods, *found].index):
                said.setdefault(name, np.full(len(task.trials), -1))[fold[2]] = task.classes_of(found[name])
    return said


def _kept(file, tested):
    """{method: probabilities [m, K]} of a file of kept predictions. InputError where it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
        wrong = next((name for name, each in found.items() if each.ndim != 2 or len(each) != len(tested)
                      or not np.isfinite(each).all()), None)
        if wrong or not found:
            raise ValueError(f"{wrong or 'it'} holds no probabilities of {len(tested)} trials")
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, AttributeError, EOFError, OSError, MemoryError) as error:
        raise InputError(f"{file}: kept predictions that cannot be read ({str(error)[:200]}); remove the file, and its "
                         "fold is computed again") from None
    return found


def _balanced(labels, said):
    """The mean over seeds of the balanced accuracy of classes [N, S]."""
    from metrics.classification import balanced_accuracy

    return float(np.mean(balanced_accuracy(labels, said)))


def scores_of(task: Task, seeds: list[int], output: Path, networks: list[str]) -> tuple[dict[str, tuple], str, tuple]:
    """({method: (accuracy, low, high)}, the best baseline, (default minus best baseline, low, high))."""
    from encoders.classical import BASELINES
    from metrics.statistics import bootstrap_interval

    by_seed = [cross_validated(task, seed, output, networks) for seed in seeds]
    said = {name: np.stack([each[name] for each in by_seed if name in each], 1) for name in by_seed[0]}
    tested = said[OURS][:, 0] >= 0
    labels, clusters = task.labels()[tested], task.clusters[tested]
    scores = {}
    for name, classes in said.items():
        low, high = bootstrap_interval(_balanced, labels, classes[tested], clusters=clusters)
        scores[name] = _balanced(labels, classes[tested]), low, high
    best = max(BASELINES, key=lambda name: scores[name][0])

    def difference(true, ours, theirs):
        return _balanced(true, ours) - _balanced(true, theirs)

    arrays = labels, said[OURS][tested], said[best][tested]
    return scores, best, (difference(*arrays), *bootstrap_interval(difference, *arrays, clusters=clusters))


def table(results: dict[str, tuple]) -> str:
    """A Markdown table: a row for each method, a column for each task."""
    methods = list(dict.fromkeys(name for scores, _, _ in results.values() for name in scores))
    rows = [["balanced accuracy", *results], ["---"] * (len(results) + 1)]
    for name in methods:
        cells = [scores.get(name) for scores, _, _ in results.values()]
        rows.append([name, *("" if cell is None else "{:.3f} [{:.3f}, {:.3f}]".format(*cell) for cell in cells)])
    rows.append(["default minus best baseline", *("{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain) for _, _, gain in
                                                  results.values())])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw(results: dict[str, tuple], observer: dict[float, float], file: Path) -> None:
    """Default encoder and best baseline with their intervals on each task; on simulated data the ideal observer too."""
    from runtime.figures import PALETTE, style

    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(figsize=(7, .4 * len(results) + 1), layout="constrained")
        for row, (task, (scores, best, _)) in enumerate(results.items()):
            for name, label, colour, offset in ((OURS, OURS, PALETTE[0], -.12), (best, "best baseline", PALETTE[1], .12)):
                value, low, high = scores[name]
                axes.errorbar(value, row + offset, xerr=[[value - low], [high - value]], fmt="o", ms=4, color=colour,
                              label=None if row else label)
            snr = task.partition("SNR ")[2].partition(",")[0]
            if snr and float(snr) in observer:
                axes.plot(observer[float(snr)], row, "k|", ms=12, label="ideal observer")
        axes.set_yticks(range(len(results)), list(results))
        axes.invert_yaxis()
        axes.set_xlabel("balanced accuracy")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(handles.values(), handles.keys())
        with atomic_path(file) as temporary:
            figure.savefig(temporary, format="png", dpi=160)
        plt.close(figure)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from .ideal_observer import ideal_accuracy

    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    seeds = list(dict.fromkeys(args.seeds))  # one that is given twice is one run
    results = {task.name: scores_of(task, seeds, output, args.networks) for task in tasks_of(args)}
    observer = {accuracy[0]: accuracy[1] for accuracy in map(ideal_accuracy, args.simulated)}
    text = table(results)
    for snr, accuracy in observer.items():
        text += f"\nThe ideal observer at SNR {snr:g}: {accuracy:.3f}.\n"
    with atomic_path(output / "table.md") as temporary:
        temporary.write_text(text)
    draw(results, observer, output / "benchmark.png")
    print(text)
    below = [name for name, (_, _, (_, _, high)) in results.items() if high < 0]
    for name in below:
        print(f"{name}: the default encoder is below {results[name][1]}")
    sys.exit(bool(below))


if __name__ == "__main__":
    main()
