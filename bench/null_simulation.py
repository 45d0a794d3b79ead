"""The simulated studies of null_studies.py: drawn pictures, a small CLIP, a small LLM trained on captions, and EEG.

Pictures, CLIP and LLM are made once per folder. The EEG is simulated anew for each study. Its forward model is a matrix of
random weights, because the head model of `prepare_data.py simulated` takes seconds per person, and 200 studies need 800
people.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from runtime.options import Options
from runtime.runs import write_json

import numpy as np
import torch
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM

from bench.synthetic import SIMULATED, captions_of, make_tokenizer, write_drawings, write_pth
from datautils import CaptionDataset, collate
from eegdata.dataset_writer import write_folder
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.splits import write_splits
from language_model.prompts import instruction_of, pad_id
from recipes import make_small_clip
from sources import drawings, mixtures
from sources.drawings import Scene
from sources.simulated import COMPONENTS, scene_code

SFREQ, SAMPLES, SOA = 100.0, 60, 0.8  # Hz; samples of a trial from the picture's onset; s between pictures
CHANNELS = ("Fz", "C3", "Cz", "C4", "P7", "P3", "Pz", "P4", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "O2")
PINK_SOURCES, SENSOR_NOISE, DRIFT = 24, .2, 1.  # 1/f sources; RMS of sensor noise and slow drift over that of the sources
MODEL_SEED = 7  # of the mean gains: the visual dipoles lie in about the same place in all people
LLM_SHAPE = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 4, "max_position_embeddings": 128}


Pictures = dict[str, Scene | mixtures.Mixture]


def make_scenes(args: Options) -> Pictures:
    """The pictures of all studies by name: `--picture_sets` sets of train, val and test pictures, one set after another.

    equal_captions: three scenes per class, so that many pictures share a caption. unbalanced: half of the pictures show one
    class. objects: several things in a picture.
    """
    count, kinds = sum(part_sizes(args).values()), drawings.CLASSES[:args.classes]
    rng, scenes = np.random.default_rng(args.seed), []
    if args.variant == "objects":
        scenes = mixtures.sample_mixtures(count * args.picture_sets, args.seed, kinds)
        return {f"scene_{i:04d}": scene for i, scene in enumerate(scenes)}
    for picture_set in range(args.picture_sets):
        if args.variant == "equal_captions":
            distinct = drawings.sample_scenes(3 * len(kinds), args.seed + picture_set, kinds)
            chosen = [replace(distinct[i % len(distinct)], variant=int(rng.integers(1 << 30))) for i in range(count)]
        elif args.variant == "unbalanced":
            chosen = drawings.sample_scenes(count - count // 2, args.seed + picture_set, kinds)
            chosen += drawings.sample_scenes(count // 2, args.seed + picture_set, kinds[:1],
                                             exclude=map(drawings.caption, chosen))
            chosen = [chosen[i] for i in rng.permutation(count)]
        else:
            chosen = drawings.sample_scenes(count, args.seed + picture_set, kinds)
        scenes += chosen
    return {f"{scene.kind}_{i:04d}": scene for i, scene in enumerate(scenes)}


def part_sizes(args: Options) -> dict[str, int]:
    """Number of pictures in each part of a set."""
    return {"train": args.train_pictures, "val": max(args.classes, args.train_pictures // 10), "test": args.test_pictures}


def make_once(folder: Path, args: Options, scenes: Pictures) -> None:
    """Write pictures, CLIP and LLM below `folder`. A part that was finished before is kept."""
    def make_missing(part: str, make: Callable[[Path], object]):
        marker = folder / f"{part}.json"
        if not marker.is_file():
            make(folder / part)
            write_json(marker, {"made": part})

    if args.variant == "objects":
        others = mixtures.sample_mixtures(args.pretraining, args.seed + 1, exclude=scenes.values())
    else:
        excluded = {drawings.caption(scene) for scene in scenes.values()}
        others = drawings.sample_scenes(args.pretraining, args.seed + 1, exclude=excluded)
    named = {f"{scene.parts[0].kind}_{i}": scene for i, scene in enumerate(others)}
    make_missing("images", lambda path: write_drawings(path, scenes, 64))
    make_missing("clip_images", lambda path: write_drawings(path, named, 64))
    make_missing("clip", lambda path: make_small_clip.main(
        ["--image_dir", str(folder / "clip_images"), "--output", str(path), "--image_size", "32", "--width", "8",
         "--embed_dim", "64", "--epochs", str(args.clip_epochs), "--seed", "0"]))
    make_missing("llm", lambda path: make_llm(path, others, args.llm_steps))


def make_llm(folder: Path, scenes: Sequence[Scene | mixtures.Mixture], steps: int, batch_size: int = 64) -> None:
    """Save a Llama of LLM_SHAPE that has learned to write a caption from the words in its prompt.

    The prompt names the class and some of colour, number, place and background. Later the soft tokens take the place of
    these words. Like a large LLM, it can therefore use words that it is given. An LLM that has only seen captions does not
    learn this from a few hundred pictures.
    """
    rng, instruction = np.random.default_rng(0), instruction_of("basic")
    prompts = [(scene, [word for part in scene.parts
                        for word in (part.colour, drawings.NUMBERS[part.number], part.place, part.background)
                        if rng.random() < share]) for scene in scenes for share in (0, .5, .8, 1)]
    labels = [" ".join([*rng.permutation(words), *[part.kind for part in scene.parts if rng.random() < .8]])
              for scene, words in prompts]
    captions = [list(captions_of(scene)) for scene, _ in prompts]
    tokenizer = make_tokenizer([f" {text} {label} {instruction}" for texts, label in zip(captions, labels, strict=True)
                                for text in texts])
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**LLM_SHAPE, vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id,
                                         eos_token_id=tokenizer.eos_token_id))
    data = CaptionDataset(tokenizer, "plain", instruction, torch.zeros(len(prompts), 1), labels, captions,
                          embedding_dropout=1.)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in tqdm(range(steps), desc="LLM", unit="step"):
        rows = collate([data[i] for i in torch.randint(len(data), (batch_size,)).tolist()], 0, pad_id(tokenizer))
        model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"], labels=rows["labels"],
              position_ids=(rows["attention_mask"].cumsum(1) - 1).clamp_min(0)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_study(folder: Path, args: Options, scenes: Pictures, number: int) -> None:
    """Write eeg.pth and splits.pth of study `number`: new people, new noise, and a new order of the pictures.

    Each person sees each picture of the study's set once. The set decides which part a picture belongs to.
    """
    picture_set, sizes = number % args.picture_sets, part_sizes(args)
    count = sum(sizes.values())
    names = list(scenes)[picture_set * count:(picture_set + 1) * count]
    kinds = list(drawings.CLASSES[:args.classes])
    label = np.array([kinds.index(scenes[name].parts[0].kind) for name in names])
    part_of = np.repeat(list(sizes), list(sizes.values()))  # classes come in turn or at random
    rng = np.random.default_rng([args.seed, number])
    code = scene_code(evoking_scenes([scenes[name] for name in names], args.variant, rng))
    eeg, image, subject, parts = [], [], [], {part: [] for part in sizes}
    for person in range(args.people):
        order = rng.permutation(count)
        eeg.append(simulate_person(order, code, args.snr, rng, style=args.variant == "style"))
        favourites = rng.permutation(args.classes)[:max(2, args.classes // 4)]
        for position, picture in enumerate(order):
            other_class = part_of[picture] == "train" and label[picture] not in favourites
            if args.variant != "style" or not other_class or rng.random() < .1:
                parts[part_of[picture]].append(person * count + position)
        image += order.tolist()
        subject += [person + 1] * count
    if args.variant == "objects":
        _write_folder(folder / "data", eeg, np.reshape(image, (args.people, count)), {name: scenes[name] for name in names},
                      kinds)
        write_splits(folder / "data" / "splits.pth", parts)
        return
    write_pth(folder / "eeg.pth", eeg=np.concatenate(eeg), label=label[image], image=image, subject=subject, images=names,
              class_ids=kinds, class_names=kinds, sfreq=SFREQ, ch_names=CHANNELS, about=SIMULATED)
    write_splits(folder / "splits.pth", parts)


def _write_folder(folder, eeg, image, scenes, kinds):
    """A data set folder, as a .pth file knows one class a picture. eeg [people] of [trials, channels, samples]; image
    [people, trials]."""
    names = list(scenes)
    objects = {name: sorted(map(kinds.index, scene.kinds)) for name, scene in scenes.items()}
    recordings = []
    for person, trials in enumerate(eeg):
        block = Block(trials, np.full(len(trials), -1), [names[i] for i in image[person]], np.full(len(trials), np.nan))
        recordings.append(Recording(f"person {person + 1}", person + 1, -1, person, partial(iter, [block])))
    with contextlib.redirect_stderr(io.StringIO()):  # bars
        write_folder(DataSet(
            recordings, SFREQ, list(CHANNELS), SAMPLES, 0., "standardised", kinds, kinds,
            {name: Picture(partial(mixtures.draw, scene, 64), captions_of(scene)) for name, scene in scenes.items()},
            about=SIMULATED, objects=objects), folder, "simulated", "none")


def evoking_scenes(scenes: Sequence[Scene], variant: str, rng: np.random.Generator) -> Sequence[Scene]:
    """For each picture, the scene that its response in the EEG encodes.

    class_only: a scene of the same class that is otherwise the same for all pictures. own_response: the scene of another
    picture. Each picture then evokes a response of its own in all people, which says nothing about what it shows.
    """
    if variant == "class_only":
        return [replace(scene, colour="red", number=1, place="centre", background="grass") for scene in scenes]
    return [scenes[i] for i in rng.permutation(len(scenes))] if variant == "own_response" else scenes


def simulate_person(order: np.ndarray, code: tuple[np.ndarray, np.ndarray], snr: float, rng: np.random.Generator,
                    style: bool = False) -> np.ndarray:
    """One person's trials [trials, channels, samples] float32, standardised per channel, in the order of presentation.

    order [trials]: number of the picture; code: sources.simulated.scene_code of all pictures; snr: RMS of the evoked
    response over that of the 1/f noise. The noise has a covariance between channels of its own for each person, drifts
    slowly, and is continuous across trials. style: add a response that is the same for all pictures and differs between
    people.
    """
    step = round(SOA * SFREQ)
    time = len(order) * step + 2 * step
    signal = rng.normal(size=(len(CHANNELS), PINK_SOURCES)) @ pink_noise(PINK_SOURCES, time, rng)
    signal /= signal.std()
    walks = rng.normal(size=signal.shape).cumsum(1)
    signal += DRIFT * (walks - walks.mean(1, keepdims=True)) / walks.std(1, keepdims=True)
    signal += SENSOR_NOISE * rng.normal(size=signal.shape)
    onsets = (np.arange(len(order)) + 1) * step + rng.integers(-5, 6, len(order))
    if snr:
        evoked = evoked_responses(code, rng)
        evoked *= snr / np.sqrt(np.mean(evoked ** 2))
        for picture, onset in zip(order, onsets, strict=True):
            signal[:, onset:onset + SAMPLES] += evoked[picture]
    if style:
        own = rng.normal(size=(len(CHANNELS), 1)) * np.hanning(SAMPLES)
        for onset in onsets:
            signal[:, onset:onset + SAMPLES] += own
    signal = (signal - signal.mean(1, keepdims=True)) / signal.std(1, keepdims=True)
    trials = signal[:, onsets[:, None] + np.arange(SAMPLES)]
    baseline = signal[:, onsets[:, None] + np.arange(-10, 0)].mean(2, keepdims=True)  # the 0.1 s before the picture
    return (trials - baseline).transpose(1, 0, 2).astype(np.float32)


def evoked_responses(code: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The response of one person to each picture, [pictures, channels, samples] in arbitrary units."""
    amplitude, delay = code
    mean_gain = np.random.default_rng(MODEL_SEED).normal(size=(len(CHANNELS), amplitude.shape[1]))
    gain = mean_gain + .3 * rng.normal(size=mean_gain.shape)
    latency, width = np.array(COMPONENTS).T
    time = np.arange(SAMPLES) / SFREQ
    shape = np.exp(-.5 * ((time - delay[:, None, None] - latency[:, None]) / width[:, None]) ** 2)
    return np.einsum("cd,sdk,skt->sct", gain, amplitude, shape, optimize=True)


def pink_noise(sources: int, time: int, rng: np.random.Generator) -> np.ndarray:
    """1/f noise [sources, time]: above 0.5 Hz the power falls with frequency."""
    amplitude = 1 / np.sqrt(np.maximum(np.fft.rfftfreq(time, 1 / SFREQ), .5))
    spectrum = rng.normal(size=(sources, len(amplitude))) + 1j * rng.normal(size=(sources, len(amplitude)))
    return np.fft.irfft(spectrum * amplitude, time)
