"""What the layouts of THINGS-EEG2 share: the pictures of the sorted folders, the concepts held out for validation, averages
of repetitions."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError

import numpy as np

from eegdata.pictures import picture_files

from .safe_npy import read_object_npy

PARTS = ("training", "test")
LONGEST_STEP = .1  # s from sample to sample


@dataclass
class ConceptPicture:
    """A picture of the sorted folders, and the class id and readable name of its concept."""

    name: str
    class_id: str
    class_name: str
    path: Path


def class_facts(pictures: dict[str, list[ConceptPicture]]) -> tuple[list[str], list[str]]:
    """Class ids and names of the concepts, those of the training part first."""
    names = {picked.class_id: picked.class_name for part in PARTS for picked in pictures[part]}
    return list(names), list(names.values())


def find_concept_pictures(folder: Path) -> list[ConceptPicture]:
    """The pictures of the concept folders, in the order of the EEG's rows."""
    concepts = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := re.fullmatch(r"(\d+)_(.+)", path.name):
            concepts[path] = int(match[1]), match[2]
    if not concepts:
        raise InputError(f"{folder}: holds no concept folders such as 00001_aardvark; give the pictures of THINGS-EEG2 as "
                         "--images")
    numbers = [number for number, _ in concepts.values()]
    absent = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    if absent or len(numbers) > len(set(numbers)):
        what = f"no concept folder {absent[0]:05d}_..." if absent else (
            f"two concept folders of number {Counter(numbers).most_common(1)[0][0]}")
        raise InputError(f"{folder}: {what}, of {max(numbers)} that are numbered; the EEG's rows follow them, so unpack "
                         "the pictures again")
    found = {path: picture_files(path) for path in concepts}
    usual = Counter(map(len, found.values())).most_common(1)[0][0]
    odd = [path for path, files in found.items() if len(files) != usual]
    if odd or not usual:
        path = odd[0] if odd else next(iter(found))
        raise InputError(f"{path}: holds {len(found[path])} pictures, expected {usual or 'some'} as in the others; the "
                         "EEG's rows follow the pictures, so unpack them again")
    names = {concept for _, concept in concepts.values()}
    return [_picked(file, concept, names) for path, (_, concept) in concepts.items() for file in found[path]]


def _picked(file, concept, concepts):
    own, rest = f"{concept}_", file.stem
    if rest.startswith(own):
        rest = rest.removeprefix(own)
    elif rest.rpartition("_")[0] in concepts:
        raise InputError(f"{file}: is a picture of {rest.rpartition('_')[0]} in the folder of {concept}; the EEG's rows "
                         "follow the pictures, so unpack them again")
    class_id = re.sub(r"[_\s]+", "-", concept)
    return ConceptPicture(f"{class_id}_{rest}", class_id, concept.replace("_", " "), file)


def check_metadata(path: Path, pictures: dict[str, list[ConceptPicture]]) -> None:
    """Raise InputError where the publishers' list, if it is there, names other pictures, or parts share a concept."""
    concepts = {part: {picked.class_id for picked in pictures[part]} for part in PARTS}
    shared = sorted(concepts["training"] & concepts["test"])
    if shared:
        raise InputError(f"{path.parent}: {len(shared)} concepts are in training_images and in test_images, {shared[0]} "
                         "among them; the test's concepts must be new, so unpack the pictures again")
    if not path.is_file():
        return
    content = read_object_npy(path)
    for part, prefix in (("training", "train"), ("test", "test")):
        listed = [str(name) for name in content.get(f"{prefix}_img_files", ())]
        here = [picked.path.name for picked in pictures[part]]
        if listed != here:
            row = next((i for i, pair in enumerate(zip(listed, here, strict=False)) if pair[0] != pair[1]), None)
            what = f"{len(listed)} pictures, here are {len(here)}" if row is None else (
                f"{listed[row]} as picture {row}, here is {here[row]}")
            raise InputError(f"{path}: '{prefix}_img_files' lists {what} in {part}_images; the EEG's rows follow that "
                             "list, so unpack the pictures again")


def names_and_times(path: Path | str, names: object, times: object,
                    shape: tuple[int, int]) -> tuple[list[str], list[float]]:
    """The checked 'ch_names' and 'times' in s of a file whose EEG has `shape` (channels, samples). Of more times the last
    ones count: NICE-EEG's files name those of samples that were cut off at the start."""
    named = isinstance(names, list | tuple) or (isinstance(names, np.ndarray) and names.ndim == 1)
    names = list(map(str, names)) if named else []
    if len(names) != shape[0] or len(set(names)) < len(names):
        raise InputError(f"{path}: 'ch_names' has {len(set(names))} different names, the EEG {shape[0]} channels")
    times = array_of(path, "times", times)
    if times.ndim != 1 or times.dtype.kind not in "fi" or len(times) < max(2, shape[1]):
        raise InputError(f"{path}: 'times' has shape {times.shape} and type {times.dtype}, expected the time in s of each "
                         f"of the {shape[1]} samples at least")
    times = times[-shape[1]:].astype(float)
    steps = np.diff(times)
    if not np.isfinite(times).all() or not len(steps) or steps.min() <= 0 or np.ptp(steps) > .01 * steps.mean():
        raise InputError(f"{path}: 'times' does not rise in even steps; expected the time of each sample in s")
    if steps.mean() > LONGEST_STEP:
        raise InputError(f"{path}: 'times' rises by {steps.mean():g} from sample to sample, expected the time of each "
                         "sample in s; are they milliseconds?")
    return names, [round(t, 6) for t in times.tolist()]


def array_of(path: Path | str, key: str, value: object) -> np.ndarray:
    """A value of a file as an array, whatever holds it: a list, an array or a tensor."""
    try:
        if hasattr(value, "detach"):  # a tensor, perhaps of a type that NumPy has not, or one that was trained
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: '{key}' is no array of numbers or texts ({str(error)[:100]}); copy it again") from None


def choose_validation(concepts: list[str], share: float) -> set[str]:
    """The concepts held out for validation: evenly spaced in the list, at least one."""
    count = max(1, round(len(concepts) * share))
    if count >= len(concepts):
        raise InputError(f"--val_fraction {share}: leaves none of {len(concepts)} training concepts for training; lower it")
    return {concepts[int((i + .5) * len(concepts) / count)] for i in range(count)}


def check_average(path: Path | str, repetitions: int, part: str, average: str | int) -> None:
    """Raise InputError where a file has fewer repetitions of a picture than are to be averaged."""
    if isinstance(average, int) and average > repetitions:
        raise InputError(f"--average_{part.removesuffix('ing')} {average}: {path} holds {repetitions} repetitions of a "
                         f"picture; give {repetitions} or less, or all")


def averaged(eeg: np.ndarray, average: str | int) -> tuple[np.ndarray, int]:
    """EEG [pictures, repetitions, channels, samples] averaged over `average` repetitions, float32, and how many of a
    picture's repetitions are left over."""
    size = {"all": eeg.shape[1], "none": 1}.get(average, average)
    groups, left_over = divmod(eeg.shape[1], size)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which the writer refuses
        if size == 1:
            return np.asarray(eeg, np.float32), 0
        means = [eeg[:, i * size:(i + 1) * size].mean(1, dtype=np.float64) for i in range(groups)]
        return np.stack(means, 1).astype(np.float32), left_over
