"""Where a judge's answers come from: the cache on disk, an OpenAI-compatible server, or a causal LM on this machine."""

import json
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError, why_not_written
from runtime.model_files import model_identity, model_key
from runtime.runs import content_key
from runtime.secrets import HIDDEN, secrets_of, without_secrets
from runtime.text_files import parse_json

from pydantic import TypeAdapter

from .answers import RESPONSE_FORMAT

TIMEOUT = 180.0  # seconds for one answer
MAX_RETRIES = 6  # the client waits 0.5, 1, 2, 4, 8 and 8 s, or as long as the server asks for
BATCH_SIZE = 16  # questions that a local model answers at a time
DECLINED = ("content_filter", "content_policy_violation")  # error codes for a question that the server will not pass on


@dataclass
class Answer:
    text: str
    cut: bool = False  # it reached the length limit
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    temperature: float | None = 0  # None: the server's default for the model
    refused: bool = False  # the text is a refusal, so a number in it is no rating


FORM = TypeAdapter(Answer)  # what the fields of an answer may hold


class AnswerCache:
    """Answers as lines of JSON, one file per judge. Each is appended at once; a line damaged by an interruption is skipped.

    identity: everything besides the question that an answer depends on. It is part of every key, so an answer is never
    read for another judge.
    """

    def __init__(self, folder: str | Path, name: str, identity: dict):
        self.name, self.identity = name, identity
        self.path = Path(folder) / f"{content_key(identity)}.jsonl"
        self.answers, self.lock, self.separator = {}, threading.Lock(), b""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); choose another --judge_cache") from None
        self.separator = b"" if content.endswith(b"\n") else b"\n"  # closes a line that was interrupted
        for line in content.splitlines():
            try:
                entry = parse_json(line)
                answer = Answer(**entry["answer"])
                FORM.validate_python(asdict(answer))
                self.answers[entry["key"]] = answer
            except (ValueError, TypeError, KeyError):
                continue

    def key(self, question: str) -> str:
        return content_key({**self.identity, "question": question})

    def get(self, question: str) -> Answer | None:
        return self.answers.get(self.key(question))

    def add(self, question: str, answer: Answer) -> None:
        key = self.key(question)
        line = json.dumps({"key": key, "model": self.name, "question": question, "answer": asdict(answer)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.lock, open(self.path, "ab") as file:
                file.write(self.separator + line.encode())
                self.answers[key], self.separator = answer, b""
        except OSError as error:
            raise InputError(f"{self.path}: {why_not_written(error, '--judge_cache')}") from None


class Endpoint:
    """A server with OpenAI's chat completions: OpenAI, vLLM, llama.cpp, Ollama, LiteLLM and others."""

    def __init__(self, model: str, url: str, key_env: str, tokens: int, threads: int, need_key: bool):
        try:
            from openai import OpenAI
        except ImportError:
            raise InputError("--judge_url needs the package openai, which is not installed; run "
                             "`pip install -r requirements-metrics.txt`") from None
        self.model = self.identity = model
        self.url, self.key_env, self.threads = without_secrets(url), key_env, threads
        self.key = os.environ.get(key_env, "").strip()
        if need_key and not self.key:
            raise InputError(f"--judge_key_env {key_env}: this environment variable is not set; export it with the API "
                             "key of --judge_url")
        if not re.fullmatch("[!-~]*", self.key):  # the client's own error would print the key
            raise InputError(f"--judge_key_env {key_env}: holds a space, a line break or a character outside ASCII, which "
                             "no API key has; export the key again")
        hidden = sorted(secrets_of(url), key=len, reverse=True)
        self.secrets = ({self.key: "[API key]"} if self.key else {}) | dict.fromkeys(hidden, HIDDEN)
        # Where the server rejects a parameter, a copy without it replaces this dict for all questions that follow.
        self.parameters = {"temperature": 0, "max_tokens": tokens, "response_format": RESPONSE_FORMAT}
        self.lock = threading.Lock()
        # The client insists on a key. A server that needs none gets a placeholder.
        self.client = OpenAI(base_url=url, api_key=self.key or "none", timeout=TIMEOUT, max_retries=MAX_RETRIES)

    def ask(self, questions: list[str], keep: Callable) -> None:
        """Ask all questions, several at a time. `keep(question, answer, retries)` is never called twice at a time."""
        remaining, stopped = iter(questions), threading.Event()

        def work(_):
            try:
                while not stopped.is_set() and (question := next(remaining, None)) is not None:
                    answer, retries = self._request(question)
                    with self.lock:  # kept in this thread, so that a paid answer survives the failure of another request
                        keep(question, answer, retries)
            except BaseException:
                stopped.set()
                raise

        with ThreadPoolExecutor(self.threads) as pool:
            try:
                # One task per thread, not per question: Ctrl-C while tasks are submitted can leave the pool locked.
                list(pool.map(work, range(self.threads)))
            finally:
                stopped.set()  # also on Ctrl-C: requests under way are finished and kept, no new one is sent

    def _request(self, question):
        """(Answer, number of retries)."""
        import openai

        while True:
            parameters = self.parameters
            try:
                raw = self.client.chat.completions.with_raw_response.create(
                    model=self.model, messages=[{"role": "user", "content": question}], **parameters)
                return self._read(raw, parameters), raw.retries_taken
            except openai.APIStatusError as error:
                if error.code in DECLINED:
                    return Answer(f"[{error.code}] {self._reason(error)}", refused=True), 0
                with self.lock:
                    if self.parameters is parameters:  # no other thread has changed them in the meantime
                        self.parameters = _supported(parameters, error)
                    if self.parameters == parameters:
                        raise self._failure(error) from None
            except openai.OpenAIError as error:
                raise self._failure(error) from None

    def _read(self, raw, parameters):
        try:
            completion = raw.parse()
            choice = completion.choices[0]
            text = choice.message.content or choice.message.refusal or ""
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, AttributeError, IndexError, TypeError):
            raise InputError(f"--judge_url {self.url}: the response is not a chat completion ({self._reason(raw.text)!r}); "
                             "expected the base URL of an OpenAI-compatible endpoint, which usually ends in /v1") from None
        usage = getattr(completion, "usage", None)  # some servers leave it out
        return Answer(text, getattr(choice, "finish_reason", None) == "length", getattr(usage, "prompt_tokens", None),
                      getattr(usage, "completion_tokens", None), parameters.get("temperature"),
                      refused=bool(text) and not choice.message.content)

    def _reason(self, said):
        """A server's error or text on one line, without the API key and the secrets of the URL."""
        body = getattr(said, "body", None) or said
        text = str(body.get("message") or body if isinstance(body, dict) else body)
        for secret, name in self.secrets.items():
            text = text.replace(secret, name)
        return " ".join(text.split())[:200]

    def _failure(self, error):
        status, reason = getattr(error, "status_code", None), self._reason(error.__cause__ or error)
        if status is None:
            problem = (f"cannot be reached ({reason}; {MAX_RETRIES} retries); start the server, correct the URL or "
                       "lower --judge_threads")
        elif status in (401, 403):
            key = f"the API key in {self.key_env}" if self.key else f"a request without API key ({self.key_env} is not set)"
            problem = (f"refused {key} (HTTP {status}); export a key of this endpoint, or name the variable that holds it "
                       "with --judge_key_env")
        elif status == 429 or status >= 500:
            problem = (f"HTTP {status} in spite of up to {MAX_RETRIES} retries ({reason}); wait, check the account or "
                       "lower --judge_threads")
        else:
            problem = (f"refused the request for --judge_model {self.model} (HTTP {status}, {reason}); expected a base "
                       "URL, which usually ends in /v1, and a chat model that it serves")
        return InputError(f"--judge_url {self.url}: {problem}. The answers so far are kept; repeat the command to continue")


def _supported(parameters, error):
    """The parameters without the one that the server rejects; equal to those given where it rejects something else."""
    message, rest = str(error.body), dict(parameters)
    if ("response_format" in rest and error.status_code in (400, 422, 500, 501)  # 500: some builds of llama.cpp
            and re.search("response.?format|schema|structured|grammar", message, re.IGNORECASE)):
        del rest["response_format"]
    elif "max_tokens" in rest and "max_completion_tokens" in message:  # OpenAI's reasoning models
        rest["max_completion_tokens"] = rest.pop("max_tokens")
    elif error.param == "temperature" or ("temperature" in message and "support" in message):
        rest.pop("temperature", None)
    return rest


class LocalModel:
    """A Hugging Face causal LM on this machine, asked through its chat template if it has one. It decodes greedily."""

    def __init__(self, name: str, device: str, tokens: int):
        self.name, self.device, self.tokens = str(name), device, tokens
        self.model, folder = None, Path(name)
        # What answers depend on. A Hub model's commit is not known before it is fetched, so its id stands for it.
        self.identity = model_key(model_identity(folder)) if folder.is_dir() else self.name

    def ask(self, questions: list[str], keep: Callable) -> None:
        """Ask all questions, in batches. `keep(question, answer)` is called for each. InputError: the model is unusable."""
        if self.model is None:
            self._load()
        questions = sorted(questions, key=len)  # little padding within a batch
        for start in range(0, len(questions), BATCH_SIZE):
            batch = questions[start:start + BATCH_SIZE]
            for question, answer in zip(batch, self._generate(batch), strict=True):
                keep(question, answer)

    def _load(self):
        from runtime.checkpoints import check_complete
        from runtime.generation import ends_only
        from runtime.options import resolve_device

        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # its warnings are meant for developers
        device = resolve_device(self.device)
        try:
            self.tokenizer = pretrained.load(AutoTokenizer, self.name)
            model, loading = pretrained.load(AutoModelForCausalLM, self.name, output_loading_info=True,
                                             dtype=torch.float32 if device == "cpu" else "auto")
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
        model.generation_config = ends_only(model.generation_config)
        self.model = model.eval().to(device)

    def _generate(self, questions):
        from runtime.chat import chat_text

        from transformers import GenerationConfig

        chat = self.tokenizer.chat_template is not None
        prompts = [chat_text(
            self.tokenizer, [{"role": "user", "content": question}], what=f"--judge_model {self.name}",
            advice="choose another model",
            enable_thinking=False,  # read by the templates of models in which thinking is optional
        ) if chat else f"{question}\n\nNumber:" for question in questions]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=not chat,
                                return_token_type_ids=False).to(self.model.device)
        config, width = self.model.config, inputs["input_ids"].shape[1]
        limit = getattr(config, "max_position_embeddings", None)
        # Learned position embeddings end at the limit; rotary ones do not.
        if limit and width + self.tokens > limit and getattr(config, "rope_parameters", None) is None:
            raise InputError(f"--judge_model {self.name}: reads {limit} tokens, but a question and {self.tokens} tokens of "
                             f"answer are {width + self.tokens}; choose another model or a smaller --judge_tokens")
        ends = self.model.generation_config.eos_token_id
        ends = {*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id} - {None}
        ids = self.model.generate(**inputs, generation_config=GenerationConfig(
            max_new_tokens=self.tokens, do_sample=False, eos_token_id=sorted(ends),
            pad_token_id=self.tokenizer.pad_token_id))
        for row, prompt_tokens in zip(ids[:, width:].tolist(), inputs["attention_mask"].sum(1).tolist(), strict=True):
            length = next((i for i, token in enumerate(row) if token in ends), len(row))
            text = self.tokenizer.decode(row[:length], skip_special_tokens=True)
            yield Answer(text, length == len(row), prompt_tokens, min(length + 1, len(row)))
