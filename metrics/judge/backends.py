"""Where a judge's answers come from: the cache on disk, an OpenAI-compatible endpoint, a local causal LM."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import content_key

TIMEOUT = 180.0  # seconds for one answer
RETRIES = 6  # after 0.5, 1, 2, 4, 8 and 8 s, or what the endpoint asks for
BATCH_SIZE = 16  # questions that a local model answers at a time


@dataclass
class Answer:
    text: str
    cut: bool = False  # it was longer than what was allowed
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    temperature: float | None = 0  # None: the endpoint's own for the model


class AnswerCache:
    """Answers as lines of JSON in one file a judge, appended at once. A damaged line, left by an interruption, is skipped.

    about: what besides the question makes an answer; with it and the question as key, nothing stale is ever read.
    """

    def __init__(self, folder, name, about):
        self.about = about
        self.path = Path(folder) / f"{content_key(about)}.jsonl"
        self.name = name
        self.answers, self.lock, self.mend = {}, threading.Lock(), b""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); choose another --judge_cache") from None
        self.mend = b"" if content.endswith(b"\n") else b"\n"  # half a line stays a line of its own
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                self.answers[entry["key"]] = Answer(**entry["answer"])
            except (ValueError, TypeError, KeyError):
                continue

    def key(self, question):
        return content_key({**self.about, "question": question})

    def get(self, question):
        return self.answers.get(self.key(question))

    def add(self, question, answer):
        key = self.key(question)
        line = json.dumps({"key": key, "model": self.name, "question": question, "answer": asdict(answer)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.lock, open(self.path, "ab") as file:
                file.write(self.mend + line.encode())
                self.answers[key], self.mend = answer, b""
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); free space or choose another "
                             "--judge_cache") from None


class Endpoint:
    """A server that speaks OpenAI's chat completions: OpenAI's own, vLLM, llama.cpp, Ollama, LiteLLM, ..."""

    def __init__(self, model, url, key_env, tokens, threads, need_key):
        self.model, self.url, self.key_env, self.threads = model, url, key_env, threads
        self.key = os.environ.get(key_env, "").strip()
        if need_key and not self.key:
            raise InputError(f"--judge_key_env {key_env}: no such environment variable is set; export it with the API key "
                             "of --judge_url")
        self.parameters = {"temperature": 0, "max_tokens": tokens}
        self.client = None

    def identity(self):
        return self.model

    def ask(self, questions, keep):
        """Ask all, several at a time; `keep(question, answer, retries)` is called, one call at a time, as they come."""
        if self.client is None:
            try:
                from openai import OpenAI
            except ImportError:
                raise InputError("--judge_url needs the package openai; `pip install openai`") from None
            # A server that asks for no key gets a word instead: the package insists on one.
            self.client = OpenAI(base_url=self.url, api_key=self.key or "none", timeout=TIMEOUT, max_retries=RETRIES)
        lock, stopped = threading.Lock(), threading.Event()

        def one(question):
            if stopped.is_set():
                return
            try:
                answer, retries = self._request(question)
                with lock:  # in the thread, so that an answer which is paid for is kept even if another request fails
                    keep(question, answer, retries)
            except BaseException:
                stopped.set()
                raise

        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for done in as_completed([pool.submit(one, question) for question in questions]):
                    done.result()
            finally:
                stopped.set()  # Ctrl-C, too: what is under way is awaited and kept, nothing new is asked

    def _request(self, question):
        """(Answer, number of retries). InputError where the endpoint cannot be used."""
        import openai

        chats, messages = self.client.chat.completions, [{"role": "user", "content": question}]
        while True:
            parameters = self.parameters
            try:
                raw = chats.with_raw_response.create(model=self.model, messages=messages, **parameters)
            except openai.BadRequestError as error:
                if error.code in ("content_filter", "content_policy_violation"):
                    return Answer(f"[{error.code}] {_said(error)}"), 0
                fitting = _without(parameters, error)
                if fitting == parameters:
                    raise self._failure(error) from None
                self.parameters = fitting
            except openai.OpenAIError as error:
                raise self._failure(error) from None
            else:
                return self._read(raw, parameters), raw.retries_taken

    def _read(self, raw, parameters):
        try:
            content = json.loads(raw.content)
            choice = content["choices"][0]
            message, usage = choice["message"], content.get("usage") or {}
            text = message.get("content") or message.get("refusal") or ""
            if not isinstance(text, str):
                raise TypeError("content is no text")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            said = raw.content[:80].decode("utf-8", "replace")
            raise InputError(f"--judge_url {self.url}: answered with something that is no chat completion ({said!r}); "
                             "expected the base URL of an OpenAI-compatible endpoint, which mostly ends in /v1") from None
        return Answer(text, choice.get("finish_reason") == "length", usage.get("prompt_tokens"),
                      usage.get("completion_tokens"), parameters.get("temperature"))

    def _failure(self, error):
        import openai

        where = f"--judge_url {self.url}"
        kept = "the answers so far are kept, so the same command goes on from there"
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            key = f"the API key in {self.key_env}" if self.key else f"a request without API key ({self.key_env} is not set)"
            return InputError(f"{where}: refused {key} (HTTP {status}); export a key of this endpoint, or name the "
                              "variable that holds it with --judge_key_env")
        if status == 404:
            return InputError(f"{where} or --judge_model {self.model}: not found (HTTP 404, {_said(error)}); expected a "
                              "base URL, which mostly ends in /v1, and a model that it serves")
        if isinstance(error, openai.APITimeoutError):
            return InputError(f"{where}: no answer within {TIMEOUT:.0f} s, {RETRIES + 1} times; look at the server, or "
                              f"lower --judge_threads; {kept}")
        if isinstance(error, openai.APIConnectionError):
            return InputError(f"{where}: cannot be reached ({error.__cause__ or error}); start the server, or correct the "
                              f"URL; {kept}")
        if status == 429 or (status or 0) >= 500:
            return InputError(f"{where}: HTTP {status} still after {RETRIES} retries ({_said(error)}); wait, check the "
                              f"account or lower --judge_threads; {kept}")
        return InputError(f"{where}: refused the request for --judge_model {self.model} (HTTP {status}, {_said(error)}); "
                          "expected an endpoint with chat completions and a model that chats")


def _said(error):
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(message or error).split())[:200]


def _without(parameters, error):
    """The parameters, changed where the endpoint says that its model takes no such one, as OpenAI's thinking models do."""
    message = _said(error)
    if "max_completion_tokens" in message and "max_tokens" in parameters:
        rest = {key: value for key, value in parameters.items() if key != "max_tokens"}
        return rest | {"max_completion_tokens": parameters["max_tokens"]}
    if error.param == "temperature" or ("temperature" in message and "support" in message):
        return {key: value for key, value in parameters.items() if key != "temperature"}
    return parameters


class LocalModel:
    """A Hugging Face causal LM on this machine, asked by its chat template where it has one; nothing is drawn at random."""

    def __init__(self, name, device, tokens):
        self.name, self.device, self.tokens = str(name), device, tokens
        self.model = None

    def identity(self):
        """What answers depend on: a folder's files as far as a look at them tells, else the Hub id."""
        folder = Path(self.name)
        if not folder.is_dir():
            return self.name
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]

    def ask(self, questions, keep):
        """Answer all in batches; `keep(question, answer)` is called after each."""
        if self.model is None:
            self._load()
        questions = sorted(questions, key=len)  # batches of like length
        for start in range(0, len(questions), BATCH_SIZE):
            batch = questions[start:start + BATCH_SIZE]
            for question, answer in zip(batch, self._generate(batch), strict=True):
                keep(question, answer)

    def _load(self):
        from runtime.checkpoints import check_complete
        from runtime.options import resolve_device

        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # its advice is for programmers
        device = resolve_device(self.device)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(self.name)
            model, loading = AutoModelForCausalLM.from_pretrained(
                self.name, dtype=torch.float32 if device == "cpu" else "auto", output_loading_info=True)
            self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
            if self.tokenizer.pad_token is None:
                raise ValueError("the tokenizer has no end token")
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError,
                SafetensorError) as error:
            reason = str(error).strip().split("\n")[0][:300]
            raise InputError(f"--judge_model {self.name}: cannot be loaded ({reason}); expected a Hugging Face causal LM, "
                             "a local folder or a Hub id, or a model of the endpoint that --judge_url names") from None
        check_complete(loading, f"--judge_model {self.name}")
        self.tokenizer.padding_side = "left"
        self.model = model.eval().to(device)

    def _generate(self, questions):
        chat = self.tokenizer.chat_template is not None
        prompts = [self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True,
            enable_thinking=False,  # read by the templates of models that can think or not
        ) if chat else f"{question}\n\nNumber:" for question in questions]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=not chat,
                                return_token_type_ids=False).to(self.model.device)
        config, longest = self.model.config, inputs["input_ids"].shape[1] + self.tokens
        limit = getattr(config, "max_position_embeddings", None)
        if limit and longest > limit and getattr(config, "rope_parameters", None) is None:  # learned positions end there
            raise InputError(f"--judge_model {self.name}: reads {limit} tokens, but a question and {self.tokens} tokens of "
                             f"answer are {longest}; choose another model or a smaller --judge_tokens")
        ends = self.model.generation_config.eos_token_id
        ends = {*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id} - {None}
        ids = self.model.generate(**inputs, max_new_tokens=self.tokens, do_sample=False, temperature=None, top_p=None,
                                  top_k=None, repetition_penalty=1.0, eos_token_id=sorted(ends),
                                  pad_token_id=self.tokenizer.pad_token_id)
        asked = inputs["attention_mask"].sum(1).tolist()
        for row, prompt_tokens in zip(ids[:, inputs["input_ids"].shape[1]:].tolist(), asked, strict=True):
            length = next((i for i, token in enumerate(row) if token in ends), len(row))
            text = self.tokenizer.decode(row[:length], skip_special_tokens=True)
            yield Answer(text, length == len(row), prompt_tokens, min(length + 1, len(row)))
