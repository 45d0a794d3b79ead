"""Load a captioner and caption trials under a named condition."""

import json
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas
import torch
from tqdm import tqdm

import torchvision_cpu  # noqa: F401
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

import options
from dataset_folder import complete_data
from datautils import CaptionDataset, collate, image_embeddings
from trials import load_trials
from splits import load_split
from pictures import machine_made, picture_path, read_caption
from encoders import encode, fit_to_encoder
from checkpoints import resolve_checkpoint
from errors import InputError
from model import EEGModelForCausalLM
from prompts import choose_template, instruction_of, pad_id
from runs import atomic_path, content_key, file_hash, read_json
from pickles import load_pickle

COLUMNS = ("Ground Truth Image", "Expected object", "Predicted object", "Expected Caption", "Generated Caption", "trial",
           "subject", "image", "split", "condition", "prompt")


def load_tokenizer(name):
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: no usable tokenizer ({str(error).splitlines()[0][:200]}); expected the tokenizer files "
                         "of a Hugging Face causal LM") from None
    if tokenizer.eos_token_id is None:
        raise InputError(f"{name}: the tokenizer has no end token, so captions could not end; choose another LLM")
    return tokenizer


class Captioner:
    """A loaded captioner with its tokenizer and class names.

    Trials are encoded once (`read`), then captioned under any number of conditions.
    """

    def __init__(self, model_path, device, dtype=None, loading="as trained", llm=None):
        self.device = device
        self.folder = resolve_checkpoint(model_path, "--model_path")
        self.model = EEGModelForCausalLM.from_pretrained(self.folder, device=device, dtype=dtype, loading=loading, llm=llm)
        self.tokenizer = load_tokenizer(self.folder)
        self.template = choose_template(self.tokenizer, self.model.config.prompt_template)
        try:
            self.class_names = {int(label): str(name) for label, name in read_json(self.folder / "id2label.json").items()}
        except ValueError as error:
            raise InputError(f"{self.folder}/id2label.json: {error}; expected class names by label number") from None
        classes = self.model.encoder.config.num_classes
        for label in range(classes):
            self.class_names.setdefault(label, f"class {label}")  # the predecessors saved only classes of one split

    @cached_property
    def weights(self):
        """Hash of each file of the captioner; only captions of a whole split, which can be interrupted, need it."""
        own = {str(path.relative_to(self.folder)): path for path in sorted(self.folder.rglob("*")) if path.is_file()}
        return {name: file_hash(path) for name, path in own.items() if not name.startswith(("llm/", "checkpoints/"))}

    def read(self, eeg, batch_size=256):
        """EEG [N, C, T] -> embeddings [N, E], predicted class [N] and its probability [N]."""
        embeddings, logits = encode(self.model.encoder, eeg, batch_size=batch_size, device=self.device)
        probability, predicted = logits.softmax(1).max(1)
        return embeddings, predicted, probability

    def generate(self, embeddings, labels, with_embedding, instruction, *, batch_size, modality="eeg", desc="captions",
                 done=None, on_batch=None, seed=0, **options):
        """Captions for embeddings [N, E] and class names (or None); `done` captions of an interrupted run are kept."""
        dataset = CaptionDataset(self.tokenizer, self.template, instruction, embeddings, labels)
        texts = list(done or [])
        padding = pad_id(self.tokenizer)
        starts = range(len(texts), len(labels), batch_size)
        for start in tqdm(starts, desc=desc, unit="batch"):
            rows = range(start, min(start + batch_size, len(labels)))
            batch = collate([dataset.example(i, labels[i], with_embedding) for i in rows],
                            self.model.config.soft_tokens, padding)
            batch.pop("labels")
            batch = {key: value.to(self.device) for key, value in batch.items()}
            torch.manual_seed(seed + start)  # so that an interrupted run draws what the whole one would
            ids = self.model.generate(**batch, modality=modality, pad_token_id=padding,
                                      eos_token_id=self.tokenizer.eos_token_id, **options)
            new = [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
            texts += new
            if on_batch:
                on_batch(new)
        return texts


def swap(groups, images, generator):
    """For each trial another of its group that shows another picture; [N] long, and how many found none.

    groups, images: [N] long. Each trial is given to one other, so that the swapped trials are the same set as the own ones
    and differ from them in nothing but who gets which. A trial that finds no partner keeps itself: where one picture makes
    up more than half of a group, or for a group's only trial.
    """
    partner = torch.arange(len(groups))
    for group in groups.unique():
        members = torch.nonzero(groups == group).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        pictures, own = images[members].unique(return_inverse=True)
        place = torch.randperm(len(pictures), generator=generator)
        members = members[place[own].argsort(stable=True)]  # a picture's trials side by side, pictures in random order
        donors = members.roll(int(own.bincount().max()))  # a step longer than any picture's run leads to another picture
        different = images[members] != images[donors]
        partner[members[different]] = donors[different]
    return partner, int((partner == torch.arange(len(groups))).sum())


def matched_noise(embeddings, generator):
    """Gaussian noise [N, E] with the embeddings' own mean and covariance."""
    mean = embeddings.mean(0)
    centred = embeddings - mean
    weights = torch.randn(len(embeddings), len(embeddings), generator=generator) / max(1, len(embeddings) - 1) ** 0.5
    return mean + weights @ centred  # Gaussian weights on the centred rows: their covariance is the rows' own


def under_condition(condition, embeddings, predicted, truth, images, seed, image_rows=None):
    """What the LLM gets under a condition: (embeddings, class ids or None, whether the embedding is shown, modality), and
    the class that the encoder reads from the EEG behind it.

    embeddings [N, E] from EEG; predicted, truth, images: [N] long; image_rows: function to picture embeddings [N, E].
    """
    generator = torch.Generator().manual_seed(seed)
    if condition == "image":
        return image_rows(), truth, True, "image", predicted
    if condition in ("noise", "noise+label"):
        labels = predicted if condition == "noise+label" else None
        return matched_noise(embeddings, generator), labels, True, "eeg", predicted
    if condition in ("shuffled", "shuffled_within_class"):
        within = condition == "shuffled_within_class"
        partner, alone = swap(predicted if within else torch.zeros_like(predicted), images, generator)
        if alone:
            print(f"note: {condition}: {alone} of {len(predicted)} trials have no partner and keep their own EEG")
        return embeddings[partner], predicted[partner], True, "eeg", predicted[partner]
    labels = {"eeg+label": predicted, "label": predicted, "oracle_label": truth, "eeg": None}[condition]
    return embeddings, labels, condition != "label", "eeg", predicted


def generation_options(args):
    """`generate` arguments from the command line; greedy unless --do_sample."""
    options = {"max_new_tokens": args.max_new_tokens, "do_sample": args.do_sample,
               "repetition_penalty": args.repetition_penalty}
    if args.do_sample and not args.temperature:
        raise InputError("--temperature 0 with --do_sample: nothing to draw from; leave --do_sample out to decode greedily")
    if args.do_sample:
        options |= {"temperature": args.temperature, "top_p": args.top_p}
    else:
        transformers_logging.set_verbosity_error()  # it warns of sampling defaults that greedy decoding ignores
    warnings.filterwarnings("ignore", "Passing `repetition_penalty`")  # that the prompt is not penalised is wanted here
    return options


def caption_split(captioner, trials, positions, read, condition, args, destination):
    """Caption trials under one condition; returns rows for a CSV with COLUMNS.

    `read` is what `Captioner.read` gave for these positions. An interrupted run goes on from `<destination>.partial`,
    if that was made with the same model, data and options.
    """
    embeddings, predicted, _ = read
    truth, images = trials.label[positions], trials.image[positions]
    names = trials.names(positions)
    references = [read_caption(args.image_dir, name) for name in names]

    def image_rows():
        config = captioner.model.config
        clip_model = args.clip_model or config.clip_model or options.CLIP_MODEL
        picture = args.picture or config.picture or "sketch"
        rows = image_embeddings(names, args.image_dir, clip_model, picture, captioner.device, args.cache_dir)
        if rows.shape[1] != config.embedding_size:
            raise InputError(f"--clip_model: gives embeddings of size {rows.shape[1]}, the model takes "
                             f"{config.embedding_size}; name the CLIP model that it was trained with")
        return rows

    shown, labels, with_embedding, modality, predicted = under_condition(condition, embeddings, predicted, truth, images,
                                                                         args.seed, image_rows)
    label_names = [None] * len(positions) if labels is None else [captioner.class_names[i] for i in labels.tolist()]
    instruction = instruction_of(args.prompt_type or "basic", args.prompt)
    key = content_key([captioner.weights, trials.fingerprint, positions.tolist(), condition, instruction, args.seed,
                       captioner.model.config.to_dict(), generation_options(args), args.batch_size, args.load_in_8bit,
                       args.load_in_4bit, args.bf16, args.llm_backbone_name_or_path, args.clip_model, args.picture])
    partial = Path(f"{destination}.partial")
    done = _read_partial(partial, key)
    partial.parent.mkdir(parents=True, exist_ok=True)
    with open(partial, "a" if done else "w", encoding="utf-8") as file:
        if not done:
            file.write(json.dumps(key) + "\n")

        def keep(texts):
            file.writelines(json.dumps(text) + "\n" for text in texts)
            file.flush()

        texts = captioner.generate(shown, label_names, with_embedding, instruction, batch_size=args.batch_size,
                                   modality=modality, desc=condition, done=done, on_batch=keep, seed=args.seed,
                                   **generation_options(args))
    values = zip(names, truth.tolist(), predicted.tolist(), references, texts, trials.trial[positions].tolist(),
                 trials.subject[positions].tolist(), strict=True)
    prompt = args.prompt or args.prompt_type or "basic"
    return [dict(zip(COLUMNS, (str(picture_path(args.image_dir, name)), trials.class_names[true],
                               captioner.class_names[guess], reference, text, trial, subject, name, args.split,
                               condition, prompt), strict=True))
            for name, true, guess, reference, text, trial, subject in values]


def _read_partial(path, key):
    """Captions of an interrupted run with the same key."""
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # a line without its end was cut short
        content = [json.loads(line) for line in lines]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        print(f"{path}: damaged ({error}), starting anew")
        return []
    if not content or content[0] != key or not all(isinstance(text, str) for text in content):
        return []
    print(f"{path}: going on after {len(content) - 1} captions of an interrupted run")
    return content[1:]


def check_model_fits(captioner, trials, flag="--model_path"):
    fit_to_encoder(captioner.model.encoder.config, trials, flag)
    known = set(captioner.class_names.values())
    strangers = sorted(set(trials.class_names.values()) - known)
    if strangers:
        print(f"note: classes that the model does not know: {strangers[:5]}; they count as errors")


def load_captioner(args):
    """A Captioner by the options of inference.py and inference_chance.py."""
    loading = options.llm_loading(args, otherwise="as trained")
    return Captioner(args.model_path, options.resolve_device(args.device), torch.bfloat16 if args.bf16 else None, loading,
                     args.llm_backbone_name_or_path)


def check_unseen(captioner, names):
    """Refuse test pictures that the captioner was trained on, by its train_images.json (the predecessors have none)."""
    record = captioner.folder / "train_images.json"
    known = sorted(set(names) & set(read_json(record))) if record.is_file() else []
    if known:
        raise InputError(f"--split test: the captioner was trained on {len(known)} of the {len(names)} pictures, "
                         f"{known[0]} among them; use the split that it was trained with, or give --allow_known_pictures")


def tell_machine_made(image_dir, names):
    """Print how many of the pictures' captions, which the scores compare with, were written by a model."""
    made = {name: model for name, model in machine_made(image_dir).items() if name in names}
    if made:
        print(f"note: the reference captions of {len(made)} of {len(names)} pictures were written by a model "
              f"({', '.join(sorted(set(made.values())))}), not by people; scores tell how alike two models write")


def write_captions(captioner, args, conditions):
    """Caption a part of a split under each condition, one CSV each; the trials are read once."""
    complete_data(args, picture=False)  # the captioner knows which pictures it was trained on
    trials = load_trials(args.eeg_dataset, args.time_low, args.time_high, args.subject)
    trials.require_pictures()
    check_model_fits(captioner, trials)
    positions = load_split(args.splits_path, trials, args.split_num, args.splits_index, needed=(args.split,))[args.split]
    if args.split == "test" and not args.allow_known_pictures:
        check_unseen(captioner, sorted(set(trials.names(positions))))
    tell_machine_made(args.image_dir, set(trials.names(positions)))
    read = captioner.read(trials.eeg[positions])
    print(f"{len(positions)} {args.split} trials, predicted class right in "
          f"{(read[1] == trials.label[positions]).float().mean():.1%}")
    for condition, file in options.caption_files(args, conditions).items():
        rows = caption_split(captioner, trials, positions, read, condition, args, file)
        with atomic_path(file) as temporary:
            pandas.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)
        Path(f"{file}.partial").unlink()
        print(f"{condition}: {len(rows)} captions written to {file}")


def read_eeg_file(path, config):
    """One trial [1, channels, samples] from .npy, .pt or .csv; the window starts at the file's first sample."""
    readers = {".npy": lambda: np.load(path, allow_pickle=False), ".pt": lambda: load_pickle(path, "--eeg_file"),
               ".pth": lambda: load_pickle(path, "--eeg_file"), ".csv": lambda: np.loadtxt(path, delimiter=",", ndmin=2)}
    if Path(path).suffix not in readers:
        raise InputError(f"--eeg_file {path}: expected one of {', '.join(readers)}")
    try:
        eeg = torch.as_tensor(readers[Path(path).suffix](), dtype=torch.float32)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"--eeg_file {path}: not readable as numbers ({error}); expected [channels, samples]") from None
    if eeg.ndim != 2 or eeg.shape[0] != config.n_chans or eeg.shape[1] < config.n_times:
        raise InputError(f"--eeg_file {path}: shape {tuple(eeg.shape)}, expected [{config.n_chans} channels, at least "
                         f"{config.n_times} samples] at {config.sfreq:g} Hz")
    if config.ch_names:
        print(f"--eeg_file {path}: names no channels; its rows are taken as {', '.join(config.ch_names)}")
    if not torch.isfinite(eeg).all():
        raise InputError(f"--eeg_file {path}: holds NaN or infinite values; repair or drop those samples")
    return eeg[None, :, :config.n_times]
