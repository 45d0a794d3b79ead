"""An LLM judge rates the fluency and the adequacy of each generated caption from 1 to 5.

The two questions paraphrase those that Thought2Text put to GPT-4 (Mishra et al., Findings of NAACL 2025, arXiv 2410.07507;
`eval/GPT4_evaluation_of_EEG_results.ipynb` in its repository): how fluent the generated caption is, and how adequate it is
with respect to the true caption, each on a Likert scale on which 5 is best. Thought2Text asked `gpt-4o` both questions in
one request at its default temperature. Here each question is a request of its own at temperature 0, so the judge does not
see the true caption when it rates fluency. Across all settings, with 1,987 rows each, their notebook shows a mean fluency
of 3.4 to 4.9 and a mean adequacy of 1.0 to 1.6. Ratings by different judges are not comparable.

Captions leave this machine only where --judge_url is given.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import InputError
from runtime.options import bounded, code_option, positive
from runtime.runs import cache_dir, content_key
from runtime.secrets import without_secrets

import numpy as np

from .answers import score_of
from .backends import AnswerCache, Endpoint, LocalModel

_ANSWER = "Answer with one whole number from 1 to 5 and nothing else."
QUESTIONS = {  # part of every cache key: another wording asks, and pays, anew
    "Fluency": "You are an evaluator of language. Rate how fluent the sentence below is, on a Likert scale from 1 to 5, "
               f"where 5 means highly fluent.\n\nSentence: {{generated}}\n\n{_ANSWER}",
    "Adequacy": "You are an evaluator of language. Compare the two sentences below and rate how adequate sentence 2 is "
                "with respect to sentence 1, on a Likert scale from 1 to 5, where 5 means highly adequate.\n\n"
                f"Sentence 1: {{true}}\n\nSentence 2: {{generated}}\n\n{_ANSWER}",
}
KEY_ENV = "OPENAI_API_KEY"
MAX_LISTED_REFUSALS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Judge.from_arguments` reads, except `--device` and `--seed`."""
    group = parser.add_argument_group("judge (an LLM rates fluency and adequacy, 1 to 5)")
    group.add_argument("--judge_model", metavar="NAME", help="the judge: a model that --judge_url serves or, without "
                       "--judge_url, a Hugging Face causal LM (local folder or Hub id). Unset: no judge")
    group.add_argument("--judge_url", metavar="URL", help="base URL of an OpenAI-compatible endpoint, such as "
                       "http://localhost:8000/v1. The captions are sent there. Unset: the model runs on this machine")
    group.add_argument("--judge_key_env", metavar="VARIABLE", default=KEY_ENV, help="environment variable with the API "
                       "key for --judge_url. A local server needs none")
    group.add_argument("--judge_price", metavar=("IN", "OUT"), nargs=2, type=bounded(float, 0), help="price of a million "
                       "prompt tokens and of a million completion tokens, to report the cost. Unset: tokens only")
    group.add_argument("--judge_limit", metavar="N", type=positive, help="judge at most N rows of each CSV: all rows of "
                       "pictures drawn with --seed, the same pictures in every CSV. Unset: all rows")
    group.add_argument("--judge_tokens", metavar="N", type=positive, default=64, help="maximum length of an answer in "
                       "tokens. A model that thinks first needs a few thousand")
    group.add_argument("--judge_threads", metavar="N", type=bounded(int, 1, 64), default=4, help="parallel requests to "
                       "--judge_url")
    code_option(group)
    group.add_argument("--judge_cache", metavar="FOLDER", help="folder where answers are kept, so that no question is paid "
                       "for twice. Unset: judge in $EEG_TO_TEXT_CACHE or ~/.cache/eeg_to_text")


def _is_url(text):
    """Whether a text is a URL with a host that HTTP libraries take: their own errors would show a password."""
    try:
        parts = urlsplit(text)
        good = parts.port is None or parts.port > 0
    except ValueError:  # of a port that is no number, such as the rest of a password
        return False
    return good and parts.scheme in ("http", "https") and bool(parts.hostname) and not any(map(str.isspace, text))


def drawn_rows(pictures: Sequence, limit: int | None, seed: int = 0) -> np.ndarray:
    """Which rows to judge, bool [n]: all rows of pictures drawn with the seed, at most `limit` rows; all rows for None.

    The draw depends only on the pictures' names, so CSVs of the same pictures get the same rows. InputError where the
    picture drawn first has more than `limit` rows.
    """
    pictures = np.asarray(pictures).astype(str)
    if limit is None or limit >= len(pictures):
        return np.ones(len(pictures), bool)
    names, counts = np.unique(pictures, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: content_key([seed, names[i]]))
    n_pictures = int((np.cumsum(counts[order]) <= limit).sum())
    if not n_pictures:
        raise InputError(f"--judge_limit {limit}: the picture drawn first has {counts[order[0]]} rows, and a "
                         f"picture is judged as a whole; give {counts.max()} or more")
    return np.isin(pictures, names[order[:n_pictures]])


@dataclass
class JudgeResult:
    """Ratings of one CSV and how they were obtained. Tokens, cost and retries are those of this run's questions."""

    scores: dict[str, np.ndarray]  # "Fluency" and "Adequacy": float [n], NaN where not judged or without a rating
    rows: int = 0  # rows judged
    empty: int = 0  # of these, empty captions, which get 1 without a question
    asked: int = 0  # distinct questions sent to the model
    cached: int = 0  # distinct questions answered from the cache
    refused: dict[str, int] = field(default_factory=dict)  # question -> rows without a rating from 1 to 5
    refusals: list[dict] = field(default_factory=list)  # the first few: {"question", "caption", "answer", "cut"}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0  # answers without a token count from the server; the sums leave them out
    cost: float | None = None
    retries: int = 0
    own_temperature: int = 0  # ratings at the server's default temperature, where the model accepts no other


class Judge:
    """A judge for any number of CSVs. A local model is loaded when the first question is not in the cache."""

    def __init__(self, model: str, url: str | None = None, key_env: str = KEY_ENV, price: Sequence[float] | None = None,
                 limit: int | None = None, cache: str | Path | None = None, threads: int = 4, tokens: int = 64,
                 device: str = "cpu", seed: int = 0):
        if url and not _is_url(url):
            raise InputError(f"--judge_url {without_secrets(url)}: expected the base URL of an OpenAI-compatible endpoint, "
                             "which begins with http:// or https://, such as http://localhost:8000/v1; in a password, / ? "
                             "and # are written %2F %3F and %23")
        self.name = Path(model).resolve().name if not url and Path(model).is_dir() else model
        self.price, self.limit, self.tokens, self.seed = price, limit, tokens, seed
        self.url = without_secrets(url.rstrip("/")) if url else None
        self.backend = (Endpoint(model, url.rstrip("/"), key_env, tokens, threads, need_key=key_env != KEY_ENV) if url
                        else LocalModel(model, device, tokens))
        self.results = []
        # The answers' schema is no part of the key: what older versions paid for stays valid.
        self.cache = AnswerCache(cache or cache_dir() / "judge", self.name, {
            "model": self.backend.identity, "url": self.url, "temperature": 0, "max_tokens": tokens})

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Judge | None":
        """The judge that the options of `add_arguments` ask for."""
        if not args.judge_model:
            for flag in ("judge_url", "judge_price", "judge_limit", "judge_cache"):
                if getattr(args, flag) is not None:
                    raise InputError(f"--{flag} without --judge_model; name the judge, or leave --{flag} out")
            return None
        return cls(args.judge_model, url=args.judge_url, key_env=args.judge_key_env, price=args.judge_price,
                   limit=args.judge_limit, cache=args.judge_cache, threads=args.judge_threads, tokens=args.judge_tokens,
                   device=args.device, seed=args.seed)

    def rate(self, predictions: Sequence[str], references: Sequence[str], pictures: Sequence | None = None,
             desc: str = "judge") -> JudgeResult:
        """Rate n generated captions against n true ones.

        pictures: n names, by which --judge_limit draws (None: each row is a picture of its own). An empty caption gets 1
        without a question. Equal questions are asked once. Each answer is written to the cache as it arrives. InputError
        where the model or the server cannot be used; ValueError where the lengths differ.
        """
        n = len(predictions)
        pictures = range(n) if pictures is None else pictures
        if len(references) != n or len(pictures) != n:
            raise ValueError(f"{n} predictions, {len(references)} references, {len(pictures)} pictures")
        judged = drawn_rows(pictures, self.limit, self.seed)
        result = JudgeResult({name: np.full(n, np.nan) for name in QUESTIONS}, rows=int(judged.sum()),
                             refused=dict.fromkeys(QUESTIONS, 0), cost=None if self.price is None else 0.0)
        texts = {}  # (name of the question, row) -> its text
        for row in np.flatnonzero(judged):
            caption = predictions[row].strip()
            result.empty += not caption
            for name, question in QUESTIONS.items():
                if caption:
                    texts[name, row] = question.format(generated=caption, true=references[row].strip())
                else:
                    result.scores[name][row] = 1
        self._answer(list(dict.fromkeys(texts.values())), result, desc)
        for (name, row), text in texts.items():
            answer = self.cache.get(text)
            result.own_temperature += answer.temperature is None
            score = None if answer.refused else score_of(answer.text, answer.cut)
            if score is None:
                result.refused[name] += 1
                if len(result.refusals) < MAX_LISTED_REFUSALS:
                    result.refusals.append({"question": name, "caption": predictions[row].strip()[:200],
                                            "answer": answer.text.strip()[:200], "cut": answer.cut})
            else:
                result.scores[name][row] = score
        self.results.append(result)
        return result

    def _answer(self, questions, result, desc):
        """Ask the questions that the cache does not answer, and count."""
        from tqdm import tqdm

        new = [question for question in questions if self.cache.get(question) is None]
        result.asked, result.cached = len(new), len(questions) - len(new)
        if not new:
            return
        with tqdm(total=len(new), desc=desc, unit="question", leave=False) as progress:
            def keep(question, answer, retries=0):
                self.cache.add(question, answer)
                result.retries += retries
                result.prompt_tokens += answer.prompt_tokens or 0
                result.completion_tokens += answer.completion_tokens or 0
                result.uncounted += answer.prompt_tokens is None
                progress.update()

            self.backend.ask(new, keep)
        if self.price is not None:
            result.cost = (result.prompt_tokens * self.price[0] + result.completion_tokens * self.price[1]) / 1e6

    def summary(self, results: Sequence[JudgeResult] | None = None) -> dict[str, object]:
        """Who judged and how, with the counts of some results together, for JSON; None: of all CSVs."""
        counts = [vars(result) for result in (self.results if results is None else results)]
        keys = ("rows", "empty", "asked", "cached", "prompt_tokens", "completion_tokens", "uncounted", "retries",
                "own_temperature")
        return {"model": self.name, "url": self.url, "questions": QUESTIONS, "temperature": 0,
                "max_tokens": self.tokens, "limit": self.limit, **{key: sum(one[key] for one in counts) for key in keys},
                "refused": {name: sum(one["refused"][name] for one in counts) for name in QUESTIONS},
                "refusals": [refusal for one in counts for refusal in one["refusals"]][:MAX_LISTED_REFUSALS],
                "cost": None if self.price is None else sum(one["cost"] for one in counts), "price": self.price}

    def lines(self) -> list[str]:
        """The counts in words, to print under the scores."""
        total = self.summary()
        cost = "" if total["cost"] is None else f", cost {total['cost']:.4g}"
        retries = f", {total['retries']} retries" if total["retries"] else ""
        lines = [f"judge {total['model']}: {total['rows']} rows, {total['asked']} questions asked, {total['cached']} "
                 f"answered from the cache, {total['prompt_tokens']} + {total['completion_tokens']} tokens{cost}{retries}"]
        if self.url and "response_format" not in self.backend.parameters:
            lines.append("  the server does not support response_format json_schema: ratings were read from free text")
        notes = {"uncounted": "answers came without a token count; the sums leave them out",
                 "empty": "empty captions got 1 without a question",
                 "own_temperature": "ratings are at the server's default temperature, because this model accepts no other: "
                                    "asked again, it may answer differently"}
        lines += [f"  {total[key]} {note}" for key, note in notes.items() if total[key]]
        refused = sum(total["refused"].values())
        if refused:
            parts = ", ".join(f"{name} {number}" for name, number in total["refused"].items())
            lines.append(f"  {refused} ratings are missing ({parts}): the answer gives no rating from 1 to 5, for example")
            lines += [f"    {r['question']}: {r['answer'][:100]!r}" for r in total["refusals"][:3]]
            if refused > 0.1 * len(QUESTIONS) * total["rows"]:
                lines.append("  the means are of the other rows, which may differ from these; a better judge refuses less")
            if any(r["cut"] for r in total["refusals"]):
                lines.append(f"  answers were cut at {self.tokens} tokens; give a larger --judge_tokens")
        return lines
