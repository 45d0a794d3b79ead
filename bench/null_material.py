"""What null_studies.py simulates with: drawn pictures, a small CLIP, a small LLM of their captions, and EEG.

Pictures, CLIP and LLM are made once a folder; the EEG is made anew for each study. Its forward model is random weights in
place of the head model of `prepare_data.py simulated`: that takes seconds a person, and 200 studies need 800 people.
"""

from dataclasses import replace
from pathlib import Path

from runtime.runs import write_json

import numpy as np

from bench.material import make_tokenizer, write_pth
from eegdata.pictures import write_captions
from eegdata.splits import write_splits
from sources import drawings
from sources.simulated import COMPONENTS, scene_code

SFREQ, SAMPLES, SOA = 100.0, 60, 0.8  # Hz; samples of a trial from the picture's onset; s between pictures
CHANNELS = ("Fz", "C3", "Cz", "C4", "P7", "P3", "Pz", "P4", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "O2")
SOURCES, SENSOR, DRIFT = 24, .2, 1.  # 1/f sources; sensor noise and slow drift, RMS over that of the sources
MODEL_SEED = 7  # the mean person: where the visual dipoles lie is alike in all
LLM_SHAPE = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 4, "max_position_embeddings": 128}


def make_scenes(args):
    """The studies' pictures, {name: Scene}: `--picture_sets` sets of train, validation and test pictures, side by side.

    equal_captions: three scenes a class, so that many pictures share a caption; unbalanced: half the pictures of one class.
    """
    number, kinds = sum(part_sizes(args).values()), drawings.CLASSES[:args.classes]
    rng, scenes = np.random.default_rng(args.seed), []
    for picture_set in range(args.picture_sets):
        if args.variant == "equal_captions":
            few = drawings.sample_scenes(3 * len(kinds), args.seed + picture_set, kinds)
            chosen = [replace(few[i % len(few)], variant=int(rng.integers(1 << 30))) for i in range(number)]
        elif args.variant == "unbalanced":
            chosen = drawings.sample_scenes(number - number // 2, args.seed + picture_set, kinds)
            chosen += drawings.sample_scenes(number // 2, args.seed + picture_set, kinds[:1],
                                             exclude=map(drawings.caption, chosen))
            chosen = [chosen[i] for i in rng.permutation(number)]
        else:
            chosen = drawings.sample_scenes(number, args.seed + picture_set, kinds)
        scenes += chosen
    return {f"{scene.kind}_{i:04d}": scene for i, scene in enumerate(scenes)}


def part_sizes(args):
    """Pictures of each part of a set."""
    return {"train": args.train_pictures, "val": max(args.classes, args.train_pictures // 10), "test": args.test_pictures}


def write_pictures(folder, scenes, size):
    """Draw scenes {name: Scene} as `<class>/<name>.JPEG` of size x size pixels, with their captions."""
    for name, scene in scenes.items():
        path = Path(folder) / scene.kind / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawings.draw(scene, size).save(path, quality=92)
    write_captions(folder, {name: drawings.caption(scene) for name, scene in scenes.items()})


def make_once(folder, args, scenes):
    """Pictures, CLIP and LLM under `folder`, each made where its mark is missing."""
    from recipes import make_small_clip

    def missing(part, make):
        mark = folder / f"{part}.json"
        if not mark.is_file():
            make(folder / part)
            write_json(mark, {"made": part})

    others = drawings.sample_scenes(args.pretraining, args.seed + 1, exclude={drawings.caption(s) for s in scenes.values()})
    missing("images", lambda path: write_pictures(path, scenes, 64))
    missing("clip_images", lambda path: write_pictures(path, {f"{s.kind}_{i}": s for i, s in enumerate(others)}, 64))
    missing("clip", lambda path: make_small_clip.main(
        ["--image_dir", str(folder / "clip_images"), "--output", str(path), "--image_size", "32", "--width", "8",
         "--embed_dim", "64", "--epochs", str(args.clip_epochs), "--seed", "0"]))
    missing("llm", lambda path: make_llm(path, others, args.llm_steps))


def make_llm(folder, scenes, steps, batch=64):
    """A Llama of LLM_SHAPE that has learned to make a caption of what its prompt names: the class, and some or none of
    colour, number, place and background, in whose place the soft tokens come later. As large LLMs, it can use words that
    it is given; one that has only seen captions does not learn to from a few hundred pictures.
    """
    import torch
    from tqdm import tqdm
    from transformers import LlamaConfig, LlamaForCausalLM

    from datautils import CaptionDataset, collate
    from language_model.prompts import instruction_of, pad_id

    rng, instruction = np.random.default_rng(0), instruction_of("basic")
    named = [(scene, [word for word in (scene.colour, drawings.NUMBERS[scene.number], scene.place, scene.background)
                      if rng.random() < share]) for scene in scenes for share in (0, .5, .8, 1)]
    labels = [" ".join([*rng.permutation(words), *([scene.kind] if rng.random() < .8 else [])]) for scene, words in named]
    captions = [drawings.caption(scene) for scene, _ in named]
    tokenizer = make_tokenizer([f" {text} {label} {instruction}" for text, label in zip(captions, labels, strict=True)])
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**LLM_SHAPE, vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id,
                                         eos_token_id=tokenizer.eos_token_id))
    data = CaptionDataset(tokenizer, "plain", instruction, torch.zeros(len(named), 1), labels, captions,
                          embedding_dropout=1.)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in tqdm(range(steps), desc="LLM", unit="step"):
        rows = collate([data[i] for i in torch.randint(len(data), (batch,)).tolist()], 0, pad_id(tokenizer))
        model(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"], labels=rows["labels"],
              position_ids=(rows["attention_mask"].cumsum(1) - 1).clamp_min(0)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_study(folder, args, scenes, number):
    """Write eeg.pth and splits.pth of study `number` under `folder`: fresh people, noise and order of presentation.

    Each person sees each picture of the study's set once; the pictures' parts are the set's, dealt by the set's number.
    """
    picture_set, sizes = number % args.picture_sets, part_sizes(args)
    count = sum(sizes.values())
    names = list(scenes)[picture_set * count:(picture_set + 1) * count]
    kinds = list(drawings.CLASSES[:args.classes])
    label = np.array([kinds.index(scenes[name].kind) for name in names])
    part_of = np.repeat(list(sizes), list(sizes.values()))  # the scenes' classes come in turn, or at random
    rng = np.random.default_rng([args.seed, number])
    code = scene_code(evoking([scenes[name] for name in names], args.variant, rng))
    eeg, image, subject, parts = [], [], [], {part: [] for part in sizes}
    for person in range(args.people):
        shown = rng.permutation(count)
        eeg.append(recording(shown, code, args.snr, rng, style=args.variant == "style"))
        favourites = rng.permutation(args.classes)[:max(2, args.classes // 4)]
        for place, picture in enumerate(shown):
            odd = part_of[picture] == "train" and label[picture] not in favourites
            if args.variant != "style" or not odd or rng.random() < .1:
                parts[part_of[picture]].append(person * count + place)
        image += shown.tolist()
        subject += [person + 1] * count
    write_pth(folder / "eeg.pth", eeg=np.concatenate(eeg), label=label[image], image=image, subject=subject, images=names,
              class_ids=kinds, class_names=kinds, sfreq=SFREQ, ch_names=CHANNELS)
    write_splits(folder / "splits.pth", parts)


def evoking(scenes, variant, rng):
    """The scenes whose responses are evoked: what the EEG could tell of the pictures.

    class_only: their class, all else alike; own_response: those of other pictures, so that each picture evokes an own
    response in all people, which tells nothing of what it shows.
    """
    if variant == "class_only":
        return [replace(scene, colour="red", number=1, place="centre", background="grass") for scene in scenes]
    return [scenes[i] for i in rng.permutation(len(scenes))] if variant == "own_response" else scenes


def recording(shown, code, snr, rng, style=False):
    """One person's trials [trials, channels, samples] float32, standardised a channel, in the order of `shown`.

    shown [trials]: number of the picture; code: what sources.simulated.scene_code says of all pictures; snr: RMS of the
    evoked response over that of the 1/f noise. The noise has this person's own covariance over channels, drifts slowly and
    runs on through the trials. style: a response that is this person's own and the same to every picture.
    """
    step = round(SOA * SFREQ)
    time = len(shown) * step + 2 * step
    noise = rng.normal(size=(len(CHANNELS), SOURCES)) @ coloured(SOURCES, time, rng)
    noise /= noise.std()
    walks = rng.normal(size=noise.shape).cumsum(1)
    noise += DRIFT * (walks - walks.mean(1, keepdims=True)) / walks.std(1, keepdims=True)
    noise += SENSOR * rng.normal(size=noise.shape)
    starts = (np.arange(len(shown)) + 1) * step + rng.integers(-5, 6, len(shown))
    if snr:
        evoked = response(code, rng)
        evoked *= snr / np.sqrt(np.mean(evoked ** 2))
        for picture, start in zip(shown, starts, strict=True):
            noise[:, start:start + SAMPLES] += evoked[picture]
    if style:
        own = rng.normal(size=(len(CHANNELS), 1)) * np.hanning(SAMPLES)
        for start in starts:
            noise[:, start:start + SAMPLES] += own
    noise = (noise - noise.mean(1, keepdims=True)) / noise.std(1, keepdims=True)
    trials = noise[:, starts[:, None] + np.arange(SAMPLES)]
    before = noise[:, starts[:, None] + np.arange(-10, 0)].mean(2, keepdims=True)  # the 0.1 s before the picture
    return (trials - before).transpose(1, 0, 2).astype(np.float32)


def response(code, rng):
    """What each picture evokes in one person: [pictures, channels, samples], of arbitrary unit."""
    amplitude, delay = code
    everyone = np.random.default_rng(MODEL_SEED).normal(size=(len(CHANNELS), amplitude.shape[1]))
    gain = everyone + .3 * rng.normal(size=everyone.shape)
    latency, width = np.array(COMPONENTS).T
    time = np.arange(SAMPLES) / SFREQ
    shape = np.exp(-.5 * ((time - delay[:, None, None] - latency[:, None]) / width[:, None]) ** 2)
    return np.einsum("cd,sdk,skt->sct", gain, amplitude, shape, optimize=True)


def coloured(number, time, rng):
    """1/f noise [number, time]: power falls with frequency above 0.5 Hz."""
    amplitude = 1 / np.sqrt(np.maximum(np.fft.rfftfreq(time, 1 / SFREQ), .5))
    spectrum = rng.normal(size=(number, len(amplitude))) + 1j * rng.normal(size=(number, len(amplitude)))
    return np.fft.irfft(spectrum * amplitude, time)
