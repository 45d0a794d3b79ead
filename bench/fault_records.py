"""Readers of models, captions and records of runs, for bench.faults (see fault_readers)."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from unittest import mock

from runtime import chat
from runtime.interrupted import COMPLETE_MARK, complete_checkpoints
from runtime.runs import LEDGER, content_key, read_json, read_run, training_warnings, write_json
from runtime.trainer_state import STATE

import torch

from bench.fault_readers import Reader, beside, of_bytes, of_json
from bench.fault_stages import OPTIONS
from bench.mutations import edited
from datautils import _read_rows
from encoders import encode, load_encoder
from encoders.training import checkpoint_of
from evaluation.ledger import KEYS, count_scorings
from evaluation.provenance import trained_on
from evaluation.studies import group
from language_model import adapter_files
from language_model.loading import load_llm
from language_model.prompt_date import kept_date
from language_model.prompts import choose_template, prompt_ids, render
from language_model.special_tokens import turn_end
from language_model.tokenizer import load_tokenizer
from metrics.caption_files import name_files, read_captions
from metrics.judge.backends import AnswerCache
from model import EEGModelForCausalLM
from report import read_beside
from report.run import read_run as read_models

TEMPLATES = (
    "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}",
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|{{ m.role }}|>{{ m.content | trim }}{{ eos_token }}{% endfor %}",
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
INSTRUCTION = "Describe this image:"


def of_captions(made: Path) -> dict[str, Reader]:
    """Readers of caption files and what is beside them."""
    csv, folder = made / "results" / "captions.csv", made / "results"
    record = read_json(f"{csv}.json")
    five = (b"Ground Truth Image,Expected object,Predicted object,Expected Caption,Generated Caption\n"
            b'img/a_1.JPEG,cat,cat,A cat.,"A cat, sitting."\nimg/b_1.JPEG,dog,cat,A dog.,A dog.\n')

    def read(at):
        captions = read_captions(at / "captions.csv")
        name_files([captions])
        for study in group([captions]):
            if study.model is not None:
                study.model.clusters, study.model.factors, study.model.sittings  # noqa: B018 (as the scores use them)
        return "cells that are no text" if captions.table.isna().any(axis=None) else ""

    def read_ledger(at):
        counts = count_scorings([at], "family")
        return "" if counts["text"] else "no sentence on the scorings"

    entry = {key: key for key in KEYS} | {"date": "2026-01-01", "split": "a", "subject": "0"}
    lines = "".join(json.dumps(entry | {"scored": name}) + "\n" for name in "ab").encode()
    answer = {"key": "a", "model": "m", "question": "q", "answer": {"text": "4"}}
    results = json.loads((made / "report" / "results.json").read_text())

    def read_answers(at):
        cache = AnswerCache(at, "m", {"a": 1})
        return "" if all(isinstance(one.text, str) for one in cache.answers.values()) else f"answers {cache.answers}"

    return {
        "caption files": of_bytes("captions.csv", [csv.read_bytes(), five], read),
        "records of captions": beside(of_json("captions.csv.json", record, read), {"captions.csv": csv.read_bytes()}),
        "ledger of scorings": of_bytes(LEDGER, [lines], read_ledger),
        "answers of the judge": of_bytes(f"{content_key({'a': 1})}.jsonl", [json.dumps(answer).encode() + b"\n"],
                                         read_answers),
        "results.json (--beside)": of_json("results.json", results, lambda at: "" if read_beside(at / "results.json")[1]
                                           ["studies"] else "no studies"),
    } if folder.is_dir() else {}


def of_models(made: Path) -> dict[str, Reader]:
    """Readers of encoders, captioners, tokenizers and their records. Their hashes are left out, else each change would be
    refused for them alone."""
    plain = made / "without_hashes"
    shutil.rmtree(plain, ignore_errors=True)
    for name in ("encoder", "captioner"):
        shutil.copytree(made / name, plain / name)
        for file in (plain / name).rglob("args.json"):
            file.write_text(json.dumps({key: value for key, value in read_json(file).items() if key != "files"}))
    encoder, captioner = plain / "encoder", plain / "captioner"
    shrink_adapter(captioner / "adapter")

    def content(path):
        return read_json(path)  # without its checksum, for which each change would be refused

    def read_encoder(at):
        model = load_encoder(at)
        config = model.config
        found = encode(model, torch.zeros(2, config.n_chans, config.n_times))
        shapes = [tuple(tensor.shape) for tensor in found]
        return "" if shapes == [(2, config.embedding_size), (2, config.num_classes)] else f"output of shapes {shapes}"

    def read_options(at):
        read_run(at)
        training_warnings(at)
        read_models({"model_path": str(at)})
        trained_on(at, None, ["ball_1"])
        return ""

    def read_checkpoint(at):
        checkpoint_of(at, OPTIONS, True)
        return ""

    whole_encoder, llm = load_encoder(captioner / "eeg_encoder"), read_json(captioner / "config.json")["llm"]
    whole_llm = load_llm(llm, "cpu", None, None)

    def load_other_llm(name, *given):
        return copy.deepcopy(whole_llm) if (name, *given) == (llm, "cpu", None, None) else load_llm(name, *given)

    def read_captioner(at):  # what is not damaged is loaded once
        with mock.patch("model.load_encoder", lambda *_: whole_encoder), mock.patch("model.load_llm", load_other_llm):
            EEGModelForCausalLM.from_pretrained(at)
        return ""

    shutil.copytree(made / "checkpoints", plain / "checkpoints")
    state = complete_checkpoints(plain / "checkpoints")[-1] / STATE
    for checkpoint in complete_checkpoints(plain / "checkpoints"):
        (checkpoint / COMPLETE_MARK).write_bytes(b"")  # as an earlier version did
    weights = (encoder / "model.safetensors").read_bytes()
    return {
        "encoder: config.json": of_json("config.json", content(encoder / "config.json"), read_encoder, encoder),
        "encoder: weights": of_bytes("model.safetensors", [weights, weights[:3000]], read_encoder, encoder),
        "args.json": of_json("args.json", content(made / "captioner" / "args.json"), read_options, captioner),
        "train_log.json": of_json("train_log.json", content(captioner / "train_log.json"), read_options, captioner),
        "training pictures": of_json("train_images.json", content(captioner / "train_images.json"), read_options,
                                     captioner),
        "trainer state": of_json(f"{state.parent.name}/{state.name}", content(state), read_checkpoint,
                                 plain / "checkpoints"),
        "key of checkpoints": of_bytes("key.json", [json.dumps(content_key(OPTIONS)).encode()], read_checkpoint,
                                       plain / "checkpoints"),
        "date of prompts": of_json("prompt_date.json", {"date": "2026-01-31"}, lambda at: "" if kept_date(at) else "none"),
        "picture embeddings": of_bytes("e.safetensors", [embeddings()], lambda at: bool(_read_rows(at / "e.safetensors"))
                                       * ""),
        "tokenizer.json": of_json("tokenizer.json", content(captioner / "tokenizer.json"), read_tokens, captioner),
        "tokenizer_config.json": of_json("tokenizer_config.json", content(captioner / "tokenizer_config.json"), read_tokens,
                                         captioner),
        "captioner: config.json": of_json("config.json", content(captioner / "config.json"), read_captioner, captioner),
        "captioner: adapter_config.json": of_json("adapter/adapter_config.json", content(
            captioner / "adapter" / "adapter_config.json"), read_captioner, captioner),
        "chat templates": of_templates(captioner),
    }


def shrink_adapter(folder: Path) -> None:
    """Leave an adapter for two layers of the LLM: it is attached three times faster than one for all."""
    from safetensors.torch import load_file, save_file

    config, weights = read_json(folder / adapter_files.CONFIG), folder / adapter_files.WEIGHTS[0]
    kept = sorted(config["target_modules"])[:2]
    write_json(folder / adapter_files.CONFIG, config | {"target_modules": kept})
    save_file({name: values for name, values in load_file(weights).items() if any(f".{layer}." in name for layer in kept)},
              weights)


def embeddings() -> bytes:
    """A cache of the embeddings of two pictures."""
    from safetensors.torch import save

    return save({"embeddings": torch.zeros(2, 4)}, {"pictures": json.dumps(["a", "b"])})


def read_tokens(at: Path) -> str:
    """What is wrong with a tokenizer that was loaded."""
    tokenizer = load_tokenizer(at)
    ids = tokenizer("A red ball.").input_ids
    return "" if ids and all(isinstance(number, int) for number in ids) else f"ids {ids}"


def of_templates(folder: Path) -> Reader:
    """Reader of chat templates, by one tokenizer."""
    tokenizer = load_tokenizer(folder)
    chat.SECONDS = 2

    def read(at):
        tokenizer.chat_template = (at / "template").read_text(encoding="utf-8", errors="replace")
        turn_end(tokenizer)
        template = choose_template(tokenizer, "auto")
        prompt_ids(tokenizer, template, INSTRUCTION, "cat")
        prompt = render(tokenizer, template, INSTRUCTION, "cat")
        return "" if prompt.count("<image>") == 1 and INSTRUCTION in prompt else f"prompt {prompt[:200]!r}"

    def make(draw):
        text = draw.choice(TEMPLATES)
        return {"template": edited(text.encode(), draw)}

    return Reader(make, read)
