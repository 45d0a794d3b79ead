"""Load a captioner, encode EEG with it, and write captions."""

from collections.abc import Callable
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from runtime import options, processes, profiler
from runtime.checkpoint_files import checkpoint_hashes
from runtime.config_schema import ClassNames
from runtime.cuda import asked_half, dtype_of
from runtime.draws import seed_of
from runtime.errors import InputError
from runtime.model_files import differing_files, model_identity, model_key
from runtime.npy import map_npy
from runtime.options import Options
from runtime.pickles import load_pickle
from runtime.places import resolve_checkpoint
from runtime.quiet import watched
from runtime.runs import content_key, read_json, read_run
from runtime.schema import check
from runtime.text_files import read_lines

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm import tqdm
from transformers import PretrainedConfig

from captioning.routes import Route
from datautils import CaptionDataset, collate
from eegdata.dataset_folder import MappedEEG
from encoders import encode
from encoders.centre import refuse_single_trials
from encoders.clip import check_same_clip, load_clip_text
from encoders.temperature import class_probabilities
from encoders.words import words_of
from language_model import adapter_files
from language_model.candidates import Draw
from language_model.memory import batch_that_fits
from language_model.positions import check_length
from language_model.prompt_date import fixed_date
from language_model.prompts import IMAGE, choose_template, instruction_of, pad_id, prompt_ids, render
from language_model.special_tokens import check_ends, end_ids, token_count
from language_model.tokenizer import load_tokenizer
from metrics.conditions import BY_NAME
from model import EEGModelForCausalLM


class Captioner:
    """A loaded captioner with its tokenizer and class names.

    Trials are encoded once (`read`), then captioned under any number of conditions.
    """

    base: str | Path | None = None  # --llm_backbone_name_or_path

    def __init__(self, model_path: str | Path, device: str, dtype: torch.dtype | None = None,
                 loading: str | None = "as trained", llm: str | None = None, label: str | None = None,
                 clip_model: str | None = None):
        self.device = device
        self.folder = resolve_checkpoint(model_path, "--model_path")
        self.model = EEGModelForCausalLM.from_pretrained(self.folder, device=device, dtype=dtype, loading=loading, llm=llm)
        self.llm_name, self.base = llm or self.model.config.llm, llm
        adapter_files.merge(self.model.llm)
        self.route = Route.load(self.folder, self.model.config, label)
        self.clip_model = clip_model or self.model.config.clip_model or options.CLIP_MODEL
        tokenizer = load_tokenizer(self.folder)
        self.template = choose_template(tokenizer, self.model.config.prompt_template)
        self.tokenizer = fixed_date(tokenizer, self.template, self.folder)
        llm = self.model.base_llm()
        self.token_count = token_count(llm)
        self.ends, self.pad = end_ids(tokenizer, llm), pad_id(tokenizer, self.token_count)
        if not self.ends:
            check_ends(tokenizer, self.template, llm)
        file = self.folder / "id2label.json"
        names = check(ClassNames, read_json(file), file, "expected class names by label number; copy the file again")
        self.class_names = {int(label): name for label, name in names.items()}
        classes = self.model.encoder.config.num_classes
        for label in range(classes):
            self.class_names.setdefault(label, f"class {label}")  # the predecessors saved only classes of one split

    @cached_property
    def weights(self) -> dict[str, str]:
        """What identifies this captioner: the hash of each of its files; of the LLM in a predecessor's, its key.

        Computed on demand: a single trial does not need it.
        """
        llm = self.folder / "llm"
        llm = {"llm": model_key(model_identity(llm, self.base))} if llm.is_dir() else {}
        return llm | checkpoint_hashes(self.folder)

    @cached_property
    def llm(self) -> dict:
        """The identity of the LLM that was loaded (runtime.model_files)."""
        own = self.folder / "llm"
        return model_identity(own, self.base) if adapter_files.is_adapter(own) else model_identity(self.llm_name)

    @property
    def llm_bits(self) -> int | None:
        """8 or 4 where the LLM was loaded so, as an option asked or as it was trained; None: in full."""
        llm = self.model.base_llm()
        return next((bits for bits in (8, 4) if getattr(llm, f"is_loaded_in_{bits}bit", False)), None)

    def other_llm(self) -> list[str]:
        """Names of the files in which that LLM differs from the one that the captioner was trained with; [] where they are
        the same, or where the captioner is older or a predecessor's and does not tell."""
        return differing_files(self.llm, read_run(self.folder)[0].get("llm"))

    @property
    def knows_simulated_eeg(self) -> bool:
        """Whether it was trained on simulated EEG, as far as its args.json says."""
        return bool((read_run(self.folder)[0].get("source") or {}).get("simulated"))

    @property
    def key(self) -> str:
        """16 hex digits that identify the captioner in caption files and tables."""
        return content_key(self.weights)

    @property
    def prompt_type(self) -> str:
        """The --prompt_type that it was trained with."""
        return options.trained_prompt_type(self.folder)

    def instruction(self, prompt_type: str | None = None, prompt: str | None = None) -> str:
        """The instruction in its prompts: that of a --prompt_type, a user's own --prompt, or that of the training."""
        return instruction_of(prompt_type or self.prompt_type, prompt)

    def settings(self, instruction: str, with_label: bool, with_embedding: bool, **options: object) -> dict:
        """What the record of captions says of their prompts and decoding: {"rendered_prompt", "generation"}.

        The prompt is text, with <image> in place of the soft tokens, <class name> or <words> in place of these, and
        <caption> for each exemplar.
        """
        label = {"class": "<class name>", "words": "<words>", "none": None}[self.route.label] if with_label else None
        prompt = render(self.tokenizer, self.template, instruction, label, with_embedding,
                        ("<caption>",) * self.route.count)
        return {"rendered_prompt": prompt if self.model.config.soft_tokens else prompt.replace(IMAGE, ""),
                "generation": {**options, "eos_token_id": self.ends, "pad_token_id": self.pad}}

    def read(self, eeg: torch.Tensor | MappedEEG, rows: torch.Tensor | None = None,
             batch_size: int = 256) -> tuple[torch.Tensor, list[str], torch.Tensor]:
        """EEG [N, C, T] -> embeddings [n, E], predicted class names and their probability [n] of the trials `rows` ([n],
        None for all). Where a picture has several classes or none, see encoders/words.py."""
        embeddings, probabilities = self.encode(eeg, rows, batch_size)
        return embeddings, *words_of(probabilities, self.model.encoder.config, self.class_names)

    @property
    def without_classes(self) -> bool:
        """Whether its encoder names no class, as its pictures had none."""
        return not self.model.encoder.config.num_classes

    @property
    def tells(self) -> bool:
        """Whether its prompts hold words, or the name of a class."""
        return self.route.label == "words" or (self.route.label == "class" and not self.without_classes)

    @property
    def shows(self) -> bool:
        """Whether its prompts hold anything of the embedding: soft tokens or exemplars."""
        return bool(self.model.config.soft_tokens or self.route.count)

    @property
    def learned(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean [E] and overall scale of the EEG embeddings that its projector was trained on; None for a predecessor's or
        an early one of ours, which keeps neither: its projector has a mean of 0 and a scale of 1."""
        mean, scale = self.model.projector.eeg_mean.cpu(), self.model.projector.eeg_scale.cpu()
        return (mean, scale) if mean.any() else None

    def lacks(self, condition: str) -> str | None:
        """What a condition of metrics/conditions.py needs that this captioner has not, without which it would repeat
        another condition; None where it has all."""
        asked = BY_NAME[condition]
        if asked.is_apt(not self.without_classes, self.tells):
            return None
        if self.without_classes and asked.by_class:
            return f"class names, and the encoder of {self.folder} knows none"
        return f"a class name or words in the prompt, and that of {self.folder} has none"

    def encode(self, eeg: torch.Tensor | MappedEEG, rows: torch.Tensor | None = None,
               batch_size: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
        """EEG [N, C, T] -> embeddings [n, E] and class probabilities [n, K] of the trials `rows` ([n], None for all).
        Several processes share the batches."""
        rows = torch.arange(len(eeg)) if rows is None else torch.as_tensor(rows)
        own = processes.share(range(0, len(rows), batch_size))  # whole batches: the same from any number of processes
        parts = [encode(self.model.encoder, eeg, rows[own.start:own.stop], batch_size, self.device)] if own else []
        embeddings, logits = (torch.cat(part) for part in zip(*processes.collect(parts), strict=True))
        return embeddings, class_probabilities(logits.double(), self.model.encoder.config)

    def fitting_batch_size(self, instruction: str, max_new_tokens: int, guidance: float = 1.0, **options: object) -> int:
        """The number of captions to write at a time if --batch_size is not given (memory.batch_that_fits), by the arguments
        of `generate`. With guidance each caption takes two rows."""
        names, exemplars = self.route.longest(self.model.encoder.config, self.class_names)
        prompt = max(sum(map(len, prompt_ids(self.tokenizer, self.template, instruction, name, exemplars=exemplars)))
                     for name in names)
        rows = batch_that_fits(self.model.base_llm(), self.device, self.model.config.soft_tokens + prompt + max_new_tokens)
        return rows if guidance == 1 else max(1, rows // 2)

    def generate(self, embeddings: torch.Tensor, labels: list[str | None], with_embedding: bool, instruction: str, *,
                 batch_size: int, modality: str = "eeg", desc: str = "captions", done: dict[int, str] | None = None,
                 on_batch: Callable[[list], None] | None = None, seed: int = 0, candidates: int = 1,
                 draw_temperature: float = 1.0, **options: object) -> list[str]:
        """Captions for embeddings [N, E] and class names (or None): N texts.

        Batches hold prompts of similar length, so there is little padding; several processes take turns at the batches.
        options: of `generate`; a "guidance" has no effect where the prompt holds nothing of the embedding. Nor have
        candidates without the embedding, as the one nearest to it is kept (`_best`).
        done: {number of a caption: text} of an interrupted run; these stay as they are, whatever the batch size was.
        on_batch: called in process 0 with a list of such pairs after each batch.
        """
        dataset = CaptionDataset(self.tokenizer, self.template, instruction, embeddings, labels,
                                 uncounted=self.model.config.uncounted_token, token_count=self.token_count,
                                 exemplars=self.route.exemplars(embeddings) if with_embedding else None)
        candidates = candidates if with_embedding else 1
        if not (with_embedding and self.shows):  # with and without it the prompts say the same
            options = {name: value for name, value in options.items() if name != "guidance"}
        if candidates > 1 and self.learned is None:
            raise InputError(f"--candidates {candidates}: are ranked by what differs from the mean embedding of the "
                             f"training, and {self.folder}, a predecessor's or an early captioner, keeps none; leave the "
                             "option out")
        examples = [dataset.example(i, label, with_embedding) for i, label in enumerate(labels)]
        lengths = [len(example["before"]) + len(example["after"]) for example in examples]
        new, soft = options["max_new_tokens"], with_embedding * self.model.config.soft_tokens
        longest = max(lengths, default=0) + soft
        read = longest + new - 1  # the last token is written only
        check_length(self.model.base_llm(), read, f"--max_new_tokens {new} after prompts",
                     f"the longest prompt has {longest} of them; give a smaller number, or a shorter --prompt")
        order = sorted(range(len(labels)), key=lengths.__getitem__)
        texts = dict(done or {})
        starts = [start for start in range(0, len(order), batch_size)
                  if not texts.keys() >= set(order[start:start + batch_size])]

        def write(start):  # whole batches, so that an interrupted run draws what the whole one would
            rows = order[start:start + batch_size]
            without = [dataset.example(i, labels[i], False) for i in rows] if options.get("guidance", 1) != 1 else []
            batch = collate([examples[i] for i in rows] + without, self.model.config.soft_tokens, self.pad, dataset.prefix)
            torch.manual_seed(seed_of(seed, start))
            found = [self._texts(batch, modality, options)]
            found += [self._texts(batch, modality, {**options, "draw": Draw(number, seed, draw_temperature)})
                      for number in range(1, candidates)]
            best = found[0] if candidates == 1 else self._best(embeddings[rows], modality, found)
            return [pair for pair in zip(rows, best, strict=True) if pair[0] not in texts]

        for turn in tqdm(range(0, len(starts), processes.count()), desc=desc, unit="batch",
                         disable=len(starts) <= 1 or not watched()):
            own = starts[turn:turn + processes.count()][processes.index():][:1]
            new = processes.collect([pair for start in own for pair in write(start)])
            texts.update(new)
            if on_batch and processes.is_main():
                on_batch(new)
            profiler.step("caption batch")
        return [texts[i] for i in range(len(labels))]

    def check_clip(self) -> None:
        """InputError unless the CLIP model is the one that the captioner was trained with."""
        check_same_clip(self.clip_model, self.folder, "captioner")

    @cached_property
    def _embed_text(self):
        self.check_clip()
        return load_clip_text(self.clip_model, self.device)

    @torch.no_grad()
    def _best(self, embeddings, modality, found):
        """Of the candidates `found`, lists of B texts, the one of each row that is most like its embedding [B, E]: by the
        cosine of the text's CLIP embedding with the embedding less the mean of those that the projector was trained on."""
        mean = getattr(self.model.projector, f"{modality}_mean").cpu()
        wanted = normalize(embeddings.float() - mean)
        texts = list(dict.fromkeys(text for texts in found for text in texts))
        rows = torch.cat([normalize(self._embed_text([text]).cpu()) for text in texts])  # singly: no padding
        number = {text: i for i, text in enumerate(texts)}
        scores = torch.stack([(rows[[number[text] for text in texts]] * wanted).sum(1) for texts in found])
        return [found[candidate][row] for row, candidate in enumerate(scores.argmax(0).tolist())]

    def _texts(self, batch, modality, options):
        """The captions of one batch of `collate`."""
        batch = {key: value.to(self.device) for key, value in batch.items() if key != "labels"}
        try:
            with profiler.part("writing"):
                ids = self.model.generate(**batch, modality=modality, pad_token_id=self.pad, eos_token_id=self.ends,
                                          **options)
        except torch.OutOfMemoryError:
            rows = len(batch["input_ids"]) // (1 if options.get("guidance", 1) == 1 else 2)
            raise InputError(f"--batch_size {rows}: the memory of {self.device} does not take so many "
                             "captions at a time; give a smaller number, or load the LLM in fewer bits (--load_in_4bit)"
                             ) from None
        ended = [list(takewhile(lambda token: token not in self.ends, row)) for row in ids.tolist()]
        return [text.strip() for text in self.tokenizer.batch_decode(ended, skip_special_tokens=True)]


def load_captioner(args: Options) -> Captioner:
    """A Captioner by the options of the scripts that read with one; only some take a --clip_model."""
    loading = options.llm_loading(args, otherwise="as trained")
    device = options.resolve_device(args.device)
    captioner = Captioner(args.model_path, device, dtype_of(asked_half(args, device)), loading,
                          args.llm_backbone_name_or_path, args.label, vars(args).get("clip_model"))
    if idle := options.idle_sampling(args):
        print(idle)
    if args.guidance != 1 and not captioner.shows:
        print(f"note: --guidance {args.guidance:g}: without effect, as the prompts of {captioner.folder} hold nothing of "
              "the embedding (--soft_tokens 0, no exemplars)")
    if captioner.knows_simulated_eeg:
        print("note: this captioner was trained on simulated EEG, so it says nothing about the EEG of people")
    return captioner


def read_eeg_file(path: str, config: PretrainedConfig) -> torch.Tensor:
    """One trial [1, channels, samples] from .npy, .pt or .csv; the window starts at the file's first sample."""
    refuse_single_trials(config, f"--eeg_file {path}", "the file holds one")
    readers = {".npy": lambda: map_npy(path, f"--eeg_file {path}").astype(np.float32),
               ".pt": lambda: load_pickle(path, "--eeg_file"), ".pth": lambda: load_pickle(path, "--eeg_file"),
               ".csv": lambda: np.loadtxt(read_lines(path, f"--eeg_file {path}"), delimiter=",", ndmin=2)}
    if Path(path).suffix not in readers:
        raise InputError(f"--eeg_file {path}: expected one of {', '.join(readers)}")
    try:
        eeg = torch.as_tensor(readers[Path(path).suffix]())
        if eeg.is_complex():
            raise TypeError("they are complex")
        eeg = eeg.float()
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"--eeg_file {path}: not readable as numbers ({error}); expected [channels, samples]") from None
    if eeg.ndim != 2 or eeg.shape[0] != config.n_chans or eeg.shape[1] < config.n_times:
        raise InputError(f"--eeg_file {path}: shape {tuple(eeg.shape)}, expected [{config.n_chans} channels, at least "
                         f"{config.n_times} samples] at {config.sfreq:g} Hz")
    if config.ch_names:
        print(f"--eeg_file {path}: has no channel names; its rows are taken as {', '.join(config.ch_names)}")
    if not torch.isfinite(eeg).all():
        raise InputError(f"--eeg_file {path}: holds NaN or infinite values; repair or drop those samples")
    return eeg[None, :, :config.n_times]
