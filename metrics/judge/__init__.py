"""An LLM judges each generated caption: fluency and adequacy, 1 to 5.

The two questions are those that Thought2Text put to GPT-4 (Mishra et al., Findings of NAACL 2025, arXiv 2410.07507; its
`eval/GPT4_evaluation_of_EEG_results.ipynb`), in other words: how fluent the generated caption is, and how adequate it is
with respect to the true one, each on a Likert scale of 1 to 5 with 5 the best. They asked `gpt-4o` both in one request at
its default temperature; here each is a request of its own, so that fluency is judged without sight of the true caption,
at temperature 0. Over all settings of 1,987 rows their notebook shows mean fluency 3.4 to 4.9 and adequacy 1.0 to 1.6.
Numbers of different judges do not compare.

Nothing leaves this machine unless --judge_model and --judge_url are given.
"""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.options import bounded, positive
from runtime.runs import cache_dir, content_key

import numpy as np

from .answers import score_of
from .backends import AnswerCache, Endpoint, LocalModel

_SCALE = "on a Likert scale from 1 to 5, where 5 means highly {quality}"
_ANSWER = "Answer with one whole number from 1 to 5 and nothing else."
QUESTIONS = {
    "Fluency": "You are an evaluator of language. Rate how fluent the sentence below is, "
               f"{_SCALE.format(quality='fluent')}.\n\nSentence: {{generated}}\n\n{_ANSWER}",
    "Adequacy": "You are an evaluator of language. Compare the two sentences below and rate how adequate sentence 2 is "
                f"with respect to sentence 1, {_SCALE.format(quality='adequate')}.\n\nSentence 1: {{true}}\n\n"
                f"Sentence 2: {{generated}}\n\n{_ANSWER}",
}
KEY_ENV = "OPENAI_API_KEY"
KEPT_REFUSALS = 5


def add_arguments(parser):
    """The group of options that `Judge.from_arguments` reads, besides `--device` and `--seed`."""
    group = parser.add_argument_group("judge (an LLM rates fluency and adequacy, 1 to 5)")
    group.add_argument("--judge_model", metavar="NAME", help="the judge: a model of --judge_url, else a Hugging Face "
                       "causal LM, local folder or Hub id (unset: no judge)")
    group.add_argument("--judge_url", metavar="URL", help="base URL of an OpenAI-compatible endpoint, such as "
                       "http://localhost:8000/v1; the captions are sent there (unset: the model runs on this machine)")
    group.add_argument("--judge_key_env", metavar="VARIABLE", default=KEY_ENV, help="environment variable with the API key "
                       "that is sent to --judge_url; a local server needs none")
    group.add_argument("--judge_price", metavar=("IN", "OUT"), nargs=2, type=bounded(float, 0), help="price of a million "
                       "prompt tokens and of a million completion tokens, to tell the cost (unset: tokens only)")
    group.add_argument("--judge_limit", metavar="N", type=positive, help="judge at most N rows of each CSV, all rows of "
                       "pictures drawn with --seed, the same in every CSV (unset: all rows)")
    group.add_argument("--judge_tokens", metavar="N", type=positive, default=64, help="longest answer; a model that thinks "
                       "first needs some thousand")
    group.add_argument("--judge_threads", metavar="N", type=bounded(int, 1, 64), default=4, help="requests at a time")
    group.add_argument("--judge_cache", metavar="FOLDER", help="where answers are kept, so that no question is paid for "
                       "twice (unset: judge in $EEG_TO_TEXT_CACHE or ~/.cache/eeg_to_text)")


def drawn_rows(pictures, limit, seed=0):
    """Which rows to judge: bool [n]. All rows of pictures drawn with the seed, at most `limit`; None: all.

    The draw looks at a picture's name only, so that CSVs of the same pictures get the same rows. InputError where the
    first drawn picture has more than `limit` rows.
    """
    pictures = np.asarray(pictures).astype(str)
    if limit is None or limit >= len(pictures):
        return np.ones(len(pictures), bool)
    names, counts = np.unique(pictures, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: content_key([seed, names[i]]))
    taken = int((np.cumsum(counts[order]) <= limit).sum())
    if not taken:
        raise InputError(f"--judge_limit {limit}: the picture drawn first has {counts[order[0]]} rows, which belong "
                         f"together; give {counts.max()} or more")
    return np.isin(pictures, names[order[:taken]])


@dataclass
class JudgeResult:
    """Ratings of one CSV and how they came about. Tokens, cost and retries are those of the questions asked now."""

    scores: dict  # "Fluency", "Adequacy" -> float array [n], NaN where refused or not judged
    rows: int = 0  # rows judged
    empty: int = 0  # of these, empty captions: 1 without a question
    asked: int = 0  # different questions put to the model
    cached: int = 0  # different questions that were answered before
    refused: dict = field(default_factory=dict)  # question -> rows whose answer states no whole number 1..5
    refusals: list = field(default_factory=list)  # the first few: {"question", "caption", "answer", "cut"}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0  # answers for which the endpoint told no tokens: they are in no sum
    cost: float | None = None
    retries: int = 0
    own_temperature: int = 0  # ratings at the endpoint's own temperature, as its model takes no other

    def counts(self):
        """Everything but the ratings, for JSON."""
        return {key: value for key, value in vars(self).items() if key != "scores"}


class Judge:
    """A judge for any number of CSVs. The model or the endpoint is opened when the first question has no answer yet."""

    def __init__(self, model, url=None, key_env=KEY_ENV, price=None, limit=None, cache=None, threads=4, tokens=64,
                 device="cpu", seed=0):
        if url and not url.startswith(("http://", "https://")):
            raise InputError(f"--judge_url {url}: expected the base URL of an OpenAI-compatible endpoint, which begins "
                             "with http:// or https://, such as http://localhost:8000/v1")
        self.name = Path(model).resolve().name if not url and Path(model).is_dir() else model
        self.price, self.limit, self.tokens, self.seed = price, limit, tokens, seed
        if url:
            self.url = url.rstrip("/")
            self.backend = Endpoint(model, self.url, key_env, tokens, threads, need_key=key_env != KEY_ENV)
        else:
            self.url = None
            self.backend = LocalModel(model, device, tokens)
        self.results = []
        self.cache = AnswerCache(cache or cache_dir() / "judge", self.name, {
            "model": self.backend.identity(), "url": self.url, "temperature": 0, "max_tokens": tokens})

    @classmethod
    def from_arguments(cls, args):
        """The judge that the options of `add_arguments` ask for, or None."""
        if not args.judge_model:
            for flag in ("judge_url", "judge_price", "judge_limit", "judge_cache"):
                if getattr(args, flag) is not None:
                    raise InputError(f"--{flag} without --judge_model; name the judge, or leave --{flag} out")
            return None
        return cls(args.judge_model, url=args.judge_url, key_env=args.judge_key_env, price=args.judge_price,
                   limit=args.judge_limit, cache=args.judge_cache, threads=args.judge_threads, tokens=args.judge_tokens,
                   device=args.device, seed=args.seed)

    def rate(self, predictions, references, pictures=None, desc="judge"):
        """Rate n captions against n true ones: JudgeResult.

        pictures: n names, which --judge_limit draws by (None: each row is a picture of its own). An empty caption gets 1
        without a question; equal questions are asked once; each answer is on disk before the next is awaited. InputError
        where the model or the endpoint cannot be used; ValueError where the lengths differ.
        """
        n = len(predictions)
        pictures = range(n) if pictures is None else pictures
        if len(references) != n or len(pictures) != n:
            raise ValueError(f"{n} predictions, {len(references)} references, {len(pictures)} pictures")
        judged = drawn_rows(pictures, self.limit, self.seed)
        result = JudgeResult({name: np.full(n, np.nan) for name in QUESTIONS}, rows=int(judged.sum()),
                             refused=dict.fromkeys(QUESTIONS, 0), cost=None if self.price is None else 0.0)
        texts = {}  # (question, row) -> what is asked
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
            score = score_of(answer.text, answer.cut)
            if score is None:
                result.refused[name] += 1
                if len(result.refusals) < KEPT_REFUSALS:
                    result.refusals.append({"question": name, "caption": predictions[row].strip()[:200],
                                            "answer": answer.text.strip()[:200], "cut": answer.cut})
            else:
                result.scores[name][row] = score
        self.results.append(result)
        return result

    def _answer(self, questions, result, desc):
        """Bring the answers that the cache lacks, and count."""
        from tqdm import tqdm

        new = [question for question in questions if self.cache.get(question) is None]
        result.asked, result.cached = len(new), len(questions) - len(new)
        if not new:
            return
        with tqdm(total=len(new), desc=desc, unit="question", disable=None, leave=False) as progress:
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

    def summary(self):
        """Who judged, how, and the counts of all CSVs together, for JSON."""
        counts = [result.counts() for result in self.results]
        keys = ("rows", "empty", "asked", "cached", "prompt_tokens", "completion_tokens", "uncounted", "retries",
                "own_temperature")
        total = {key: sum(one[key] for one in counts) for key in keys}
        return {"model": self.name, "url": self.url, "questions": QUESTIONS, "temperature": 0,
                "max_tokens": self.tokens, "limit": self.limit, **total,
                "refused": {name: sum(one["refused"][name] for one in counts) for name in QUESTIONS},
                "refusals": [refusal for one in counts for refusal in one["refusals"]][:KEPT_REFUSALS],
                "cost": None if self.price is None else sum(one["cost"] for one in counts), "price": self.price}

    def lines(self):
        """The counts in words, to print under the scores."""
        s = self.summary()
        cost = "" if s["cost"] is None else f", cost {s['cost']:.4g}"
        retries = f", {s['retries']} retries" if s["retries"] else ""
        lines = [f"judge {s['model']}: {s['rows']} rows, {s['asked']} questions asked, {s['cached']} answered from the "
                 f"cache, {s['prompt_tokens']} + {s['completion_tokens']} tokens{cost}{retries}"]
        if s["uncounted"]:
            lines.append(f"  of {s['uncounted']} answers the endpoint told no tokens; they are in no sum")
        if s["empty"]:
            lines.append(f"  {s['empty']} empty captions got 1 without a question")
        if s["own_temperature"]:
            lines.append(f"  {s['own_temperature']} ratings are at the endpoint's own temperature, as this model takes no "
                         "other: asked anew it may answer otherwise")
        refused = sum(s["refused"].values())
        if refused:
            parts = ", ".join(f"{name} {number}" for name, number in s["refused"].items())
            lines.append(f"  {refused} ratings are missing ({parts}): the answer states no whole number 1 to 5, such as")
            lines += [f"    {r['question']}: {r['answer'][:100]!r}" for r in s["refusals"][:3]]
            if refused > 0.1 * len(QUESTIONS) * s["rows"]:
                lines.append("  the means are of the rest, which may not be like them; a better judge refuses less")
            if any(r["cut"] for r in s["refusals"]):
                lines.append(f"  answers were cut at {self.tokens} tokens; give a larger --judge_tokens")
        return lines
