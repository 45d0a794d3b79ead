"""The LLM judge with a local server that speaks OpenAI's protocol, and with a tiny local model."""

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from runtime.errors import InputError
from runtime.options import run_options
from runtime.runs import read_json

import numpy as np
import pytest

import evaluate
from caption_rows import rows
from metrics.judge import QUESTIONS, Judge, add_arguments, drawn_rows
from metrics.judge.backends import MAX_RETRIES, Answer, Endpoint
from report_material import make_run
from tiny import make_llm

TRUE = ["A red cat in the snow.", "A blue dog in the grass.", "A car."]
SAID = ["A red cat in the grass.", "A dog dog dog.", "A red cat in the grass."]
SOON = {"retry-after-ms": "1"}


def ok(text, tokens=(100, 2), finish="stop"):
    """(status, headers, body) of a chat completion."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)} if tokens else None
    return 200, {}, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "usage": usage, "choices": [
        {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}]}


def problem(status, message="no", headers=SOON, **more):
    return status, headers, {"error": {"message": message, "type": "x", "param": None, "code": None, **more}}


@pytest.fixture
def server(monkeypatch):
    """An endpoint whose `answer(request)` the test sets; `asked` holds the bodies, `keys` the Authorization headers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                endpoint.asked.append(request)
                endpoint.keys.append(self.headers["Authorization"])
                status, headers, body = endpoint.answer(request)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)
            assert self.path == "/v1/chat/completions"

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # connections that come at a time; beyond it the kernel lets them wait a second

    endpoint = Server(("127.0.0.1", 0), Handler)
    endpoint.lock, endpoint.asked, endpoint.keys, endpoint.answer = threading.Lock(), [], [], lambda _: ok("4")
    endpoint.url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    threading.Thread(target=lambda: endpoint.serve_forever(0.01), daemon=True).start()
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()


@pytest.fixture
def judge(server, tmp_path):
    return lambda **more: Judge("m", **({"url": server.url, "cache": tmp_path / "cache"} | more))


def question(request):
    return request["messages"][0]["content"]


def by_text(request):
    """Fluency 5, but 2 for stammering; adequacy 3 where the cat is right, else 1."""
    text = question(request)
    if "Sentence 1:" not in text:
        return ok("2" if "dog dog" in text else "5", (40, 1))
    return ok("Score: 3" if TRUE[0] in text and SAID[0] in text else "1/5", (70, 3))


def test_ratings_counts_and_cost_by_hand(server, judge):
    server.answer = by_text
    one = judge(price=(2.5, 10.0))
    result = one.rate([*SAID, "  "], [*TRUE, "A house."])
    np.testing.assert_array_equal(result.scores["Fluency"], [5, 2, 5, 1])
    np.testing.assert_array_equal(result.scores["Adequacy"], [3, 1, 1, 1])
    # Fluency of two different captions, adequacy of three different pairs; the empty caption is not asked about.
    assert len(server.asked) == 5 == result.asked
    assert Counter("Sentence 1:" in question(r) for r in server.asked) == {False: 2, True: 3}
    assert (result.rows, result.empty, result.cached, result.retries) == (4, 1, 0, 0)
    assert (result.prompt_tokens, result.completion_tokens) == (2 * 40 + 3 * 70, 2 * 1 + 3 * 3)
    assert result.cost == pytest.approx((290 * 2.5 + 11 * 10.0) / 1e6) == one.summary()["cost"]
    assert {(r["model"], r["temperature"], r["max_tokens"]) for r in server.asked} == {("m", 0, 64)}
    assert json.loads(json.dumps(one.summary()))["refused"] == {"Fluency": 0, "Adequacy": 0}


def test_fluency_never_sees_the_true_caption(server, judge):
    judge().rate(["{braces} stay"], ["The reference."])
    fluency, adequacy = sorted((question(r) for r in server.asked), key=len)
    assert "{braces} stay" in fluency and "The reference." not in fluency
    assert adequacy.index("The reference.") < adequacy.index("{braces} stay")
    assert all("1 to 5" in text for text in QUESTIONS.values())


def test_second_run_asks_nothing(server, judge):
    server.answer = by_text
    first = judge(price=(1, 1)).rate(SAID, TRUE)
    n = len(server.asked)
    again = judge(price=(1, 1))
    second = again.rate(SAID, TRUE)
    assert len(server.asked) == n == second.cached == 5
    assert (second.asked, second.cost, second.prompt_tokens) == (0, 0, 0)
    for name in QUESTIONS:
        np.testing.assert_array_equal(first.scores[name], second.scores[name])
    assert again.rate(SAID, TRUE).cached == 5 and again.summary()["rows"] == 6
    # Another model, another endpoint and another length are other questions.
    Judge("other", server.url, cache=again.cache.path.parent).rate(SAID, TRUE)
    judge(tokens=10).rate(SAID, TRUE)
    assert len(server.asked) == 3 * n


def test_an_interrupted_run_goes_on_without_paying_twice(server, judge):
    def fails_on_the_third(request):
        return by_text(request) if len(server.asked) < 3 else problem(400, "server is closing")

    server.answer = fails_on_the_third
    with pytest.raises(InputError, match="server is closing"):
        judge(threads=1).rate(SAID, TRUE)
    assert len(server.asked) == 3  # the rest was not asked
    server.answer = by_text
    rest = judge().rate(SAID, TRUE)
    assert (rest.cached, rest.asked, len(server.asked)) == (2, 3, 6)
    np.testing.assert_array_equal(rest.scores["Adequacy"], [3, 1, 1])


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, as in a terminal: a job in the background, as CI's may be, inherits that it is
    ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_every_answer_that_was_asked_for(server, judge):
    requests = itertools.count(1)

    def interrupts(request):
        if next(requests) == 3:  # once, whichever thread comes third
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # wakes it, as Ctrl-C does
        return by_text(request)

    server.answer = interrupts
    said = [f"A cat of {i} years." for i in range(100)]
    with pytest.raises(KeyboardInterrupt):
        judge(threads=2).rate(said, ["A cat."] * 100)
    asked = len(server.asked)
    assert 3 <= asked < 200
    rest = judge().rate(said, ["A cat."] * 100)
    assert (rest.cached, rest.asked, len(server.asked)) == (asked, 200 - asked, 200)


@pytest.mark.parametrize("damage", [b'{"key": "ab', b"\xff\xfe\n", b'{"key": "ab", "answer": 3}\n', b"[]\n"])
def test_a_damaged_last_line_is_skipped(server, judge, damage):
    one = judge()
    one.rate(SAID[:1], TRUE[:1])
    with open(one.cache.path, "ab") as file:
        file.write(damage)
    two = judge().rate(SAID, TRUE)
    assert (two.cached, two.asked) == (2, 3)
    assert judge().rate(SAID, TRUE).asked == 0  # what was appended after the damage is read


@pytest.mark.parametrize("field, value", [("text", None), ("text", 4), ("temperature", "warm"), ("refused", "perhaps")])
def test_a_damaged_answer_is_asked_for_again(server, judge, field, value):
    """An answer without a text was taken for one without a rating."""
    one = judge()
    one.rate(SAID[:1], TRUE[:1])
    lines = [json.loads(line) for line in one.cache.path.read_text().splitlines()]
    lines[0]["answer"][field] = value
    one.cache.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    two = judge().rate(SAID[:1], TRUE[:1])
    assert (two.cached, two.asked) == (len(lines) - 1, 1)


def answer_by_schema(request):
    """Rate 4 as a server with constrained decoding does: nothing but what the request's schema allows."""
    response_format = request["response_format"]
    assert response_format["type"] == "json_schema" and response_format["json_schema"]["strict"] is True
    schema = response_format["json_schema"]["schema"]
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])  # OpenAI's strict mode insists on it
    (name, rating), = schema["properties"].items()
    assert (rating["type"], rating["enum"]) == ("integer", [1, 2, 3, 4, 5])
    return ok(json.dumps({name: rating["enum"][3]}))


def test_an_answer_by_the_schema(server, judge):
    server.answer = answer_by_schema
    one = judge()
    result = one.rate(SAID, TRUE)
    assert [scores.tolist() for scores in result.scores.values()] == [[4, 4, 4]] * 2 and len(server.asked) == 5
    assert len(one.lines()) == 1  # nothing to remark on


@pytest.mark.parametrize(("status", "error"), [
    (400, {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
           "param": "response_format", "code": None}),  # OpenAI's older models
    (400, {"message": "This response_format type is unavailable now", "code": "invalid_request_error"}),  # DeepSeek
    (400, {"message": "This model does not support response format `json_schema`."}),  # Groq
    (400, "structured output is not available"),  # an error that is a mere text
    (422, [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]),
    (500, {"code": 500, "message": 'response_format type must be one of "text" or "json_object", but got: json_schema'}),
])
def test_a_server_without_schemas_is_asked_for_free_text(server, judge, status, error):
    def no_schema(request):
        return (status, SOON, {"error": error}) if "response_format" in request else by_text(request)

    server.answer = no_schema
    one = judge(threads=1)
    result = one.rate(SAID, TRUE)
    one.rate(["A new caption."], TRUE[:1])
    rejected = 1 if status < 500 else MAX_RETRIES + 1
    assert ["response_format" in request for request in server.asked] == [True] * rejected + [False] * 7  # decided once
    assert question(server.asked[0]) == question(server.asked[rejected])
    assert {(r["model"], r["temperature"], r["max_tokens"]) for r in server.asked} == {("m", 0, 64)}
    np.testing.assert_array_equal(result.scores["Adequacy"], [3, 1, 1])
    assert sum("free text" in line for line in one.lines()) == 1


def test_threads_settle_on_the_same_parameters(server, judge):
    """Each thread meets a rejection of its own; later questions are sent once."""
    def picky(request):
        for name in ("response_format", "temperature"):
            if name in request:
                return problem(400, f"{name} is not supported", param=name)
        return ok("5")

    server.answer = picky
    n = 60
    result = judge(threads=8).rate([f"A cat of {i} years." for i in range(n)], ["A cat."] * n)
    assert (result.scores["Fluency"] == 5).all() and result.own_temperature == 2 * n
    assert 2 * n + 2 <= len(server.asked) <= 2 * n + 2 * 8


@pytest.mark.parametrize("text", ['{"score": 7}', '{"score": 4.5}', '{"score": null}', '{"sco', "{}", "", "3 or 4"])
def test_malformed_answers_are_missing_ratings(server, judge, text):
    server.answer = lambda _: ok(text)
    result = judge().rate(SAID, TRUE)
    assert np.isnan(result.scores["Fluency"]).all() and result.refused == {"Fluency": 3, "Adequacy": 3}
    assert {r["answer"] for r in result.refusals} == {text}


def test_refusals_are_counted_and_shown(server, judge):
    server.answer = lambda r: ok("I cannot rate this.") if "Sentence 1:" in question(r) else ok("It is", finish="length")
    one = judge()
    result = one.rate(SAID, TRUE)
    assert np.isnan(result.scores["Fluency"]).all() and np.isnan(result.scores["Adequacy"]).all()
    assert result.refused == {"Fluency": 3, "Adequacy": 3}
    assert {"question": "Adequacy", "caption": SAID[0], "answer": "I cannot rate this.", "cut": False} in result.refusals
    said = "\n".join(one.lines())
    assert "6 ratings are missing (Fluency 3, Adequacy 3)" in said and "cut at 64 tokens" in said
    many = judge(cache=one.cache.path.parent).rate([f"A {i}." for i in range(9)], ["B."] * 9)
    assert len(many.refusals) == 5


def test_a_number_in_a_refusal_is_no_rating(server, judge):
    refusal = ok(None)
    refusal[2]["choices"][0]["message"]["refusal"] = "I will not rate it: 1."
    server.answer = lambda r: refusal if "Sentence 1:" in question(r) else problem(400, "level 4", code="content_filter")
    for asked in (2, 0):  # the second time from the cache
        result = judge().rate(SAID[:1], TRUE[:1])
        assert result.asked == asked and result.refused == {"Fluency": 1, "Adequacy": 1}
        assert {r["answer"] for r in result.refusals} == {"I will not rate it: 1.", "[content_filter] level 4"}


def test_a_cache_of_an_older_version_is_read(server, judge):
    """Before the schema: the same file, the same keys and no "refused"."""
    texts = [text.format(generated="A cat.", true="A red cat.") for text in QUESTIONS.values()]
    keys = ["c0831fe6f7a4468d", "52bc7599088714fb"]  # as that version wrote them
    one = judge(url="http://127.0.0.1:8000/v1")
    assert one.cache.path.name == "2471d7c6181af96a.jsonl"
    one.cache.path.parent.mkdir()
    one.cache.path.write_text("".join(json.dumps({
        "key": key, "model": "m", "question": text, "answer": {
            "text": "Score: 4", "cut": False, "prompt_tokens": 90, "completion_tokens": 3, "temperature": 0}}) + "\n"
        for key, text in zip(keys, texts, strict=True)))
    again = judge(url="http://127.0.0.1:8000/v1")
    assert again.rate(["A cat."], ["A red cat."]).cached == 2


def test_an_answer_with_the_least_that_can_be_read(server, judge):
    server.answer = lambda _: (200, {"Content-Type": "text/plain"}, {"choices": [{"message": {"content": "3"}}]})
    result = judge().rate(SAID, TRUE)
    assert result.scores["Fluency"].tolist() == [3, 3, 3] and result.uncounted == 5


def test_rate_limit_then_answer(server, judge):
    server.answer = lambda r: problem(429, "slow down") if len(server.asked) in (1, 2) else by_text(r)
    one = judge(threads=1)
    result = one.rate(SAID, TRUE)
    assert (result.retries, result.asked, len(server.asked)) == (2, 5, 7)
    assert np.isfinite(result.scores["Adequacy"]).all()
    assert "2 retries" in one.lines()[0]


@pytest.mark.parametrize(("answer", "requests", "words"), [
    (problem(500, "broken"), MAX_RETRIES + 1, ["--judge_url", "HTTP 500", "broken", "repeat the command"]),
    (problem(429, "no quota"), MAX_RETRIES + 1, ["HTTP 429", "no quota", "account"]),
    (problem(401), 1, ["--judge_url", "OPENAI_API_KEY is not set", "--judge_key_env"]),
    (problem(404, "no model m"), 1, ["--judge_model m", "no model m", "/v1"]),
    (problem(400, "too long"), 1, ["HTTP 400", "too long"]),
    ((200, {}, {"hello": "world"}), 1, ["not a chat completion", "hello"]),
    ((200, {}, {"choices": []}), 1, ["not a chat completion"]),
    ((200, {}, ["list"]), 1, ["not a chat completion"]),
    ((200, {}, b"{broken"), 1, ["not a chat completion", "{broken"]),
    ((200, {"Content-Type": "text/html"}, b"<html>Login</html>"), 1, ["not a chat completion", "Login"]),
])
def test_what_stops_a_run_is_said_in_one_line(server, judge, answer, requests, words):
    server.answer = lambda _: answer
    one = judge(threads=1)
    with pytest.raises(InputError) as error:
        one.rate(SAID[:1], TRUE[:1])
    assert len(server.asked) == requests
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), error.value
    assert not one.cache.path.exists()  # failed requests are not kept


def test_a_study_tells_of_its_own_ratings(tmp_path, monkeypatch):
    """Of two models in one command each is said to lack the ratings that its own captions lack."""
    monkeypatch.setattr(Endpoint, "_request", lambda self, question: (Answer("dunno" if "bird" in question else "4"), 0))
    files = []
    for model, said in (("one", "A dog."), ("two", "A bird.")):
        table = rows("eeg+label", n_pictures=3, people=1).assign(model=model, **{"Generated Caption": said})
        files.append(tmp_path / f"{model}.csv")
        table.to_csv(files[-1], index=False)
    evaluate.main([*map(str, files), "--metrics", "ROUGE-1", "--n_boot", "20", "--n_perm", "20", "--report",
                   str(tmp_path / "report"), "--judge_model", "m", "--judge_url", "http://localhost:1", "--judge_cache",
                   str(tmp_path / "cache")])
    one, two = (study["judge"] for study in read_json(tmp_path / "report" / "results.json")["studies"])
    assert one["rows"] == two["rows"] > 0
    assert set(one["refused"].values()) == {0} and set(two["refused"].values()) == {two["rows"]}


@pytest.mark.parametrize("place", ["http://me:s3cr%2Ft@{}", "http://{}?api_key=s3cr%2Ft&v=1", "http://tok3n@{}",
                                   "me:s3cr%2Ft@{}", "http://me:s3@cr@{}", "http://me:s3cr/t@{}"])
def test_password_and_key_of_the_url_reach_no_file_and_no_message(server, tmp_path, capsys, monkeypatch, place):
    host = server.url.removeprefix("http://")
    url = place.format(host)
    files = make_run(tmp_path / "run", pictures=4, subjects=2) / "results"
    arguments = [*map(str, files.glob("*.csv")), "--metrics", "ROUGE-1", "--n_boot", "100", "--n_perm", "99", "--report",
                 str(tmp_path / "report"), "--judge_model", "m", "--judge_url", url, "--judge_limit", "4", "--judge_cache",
                 str(tmp_path / "cache")]
    monkeypatch.setattr(Endpoint, "_request", lambda self, question: (Answer("4"), 0))
    with contextlib.suppress(SystemExit):  # of the URL without a scheme
        evaluate.main(arguments)
    with contextlib.suppress(SystemExit):  # the next command, which --report leaves out
        evaluate.main(["--judge_cache", str(tmp_path / "third"), *(word for word in arguments[:-2] if word not in (
            "--report", str(tmp_path / "report")))])
    monkeypatch.setattr(Endpoint, "_request", lambda self, question: (_ for _ in ()).throw(self._failure(
        RuntimeError(f"cannot serve {url}, {unquote(url)}"))))
    with pytest.raises(SystemExit):
        evaluate.main([*arguments[:-1], str(tmp_path / "other")])
    with pytest.raises(SystemExit):
        evaluate.main([url, "--judge_uri", url, "--judge_price", url])
    said = capsys.readouterr()
    texts = [said.out, said.err, *(path.read_text() for path in tmp_path.rglob("*") if path.is_file()
                                   and path.suffix in (".json", ".html", ".tex", ".csv", ".jsonl"))]
    assert "***" in said.err and host.split("/")[0] in said.err
    assert not [text for text in texts for secret in ("s3cr", "tok3n", "s3@cr") if secret in text]


def test_connection_refused(judge, server):
    server.shutdown()
    server.server_close()
    import openai._base_client as client

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match=r"--judge_url .* cannot be reached"):
        patch.setattr(client.time, "sleep", lambda _: None)
        judge(threads=1).rate(SAID[:1], TRUE[:1])


def test_keys(server, judge, monkeypatch):
    judge().rate(SAID[:1], TRUE[:1])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    monkeypatch.setenv("MY_KEY", "sk-mine\n")
    judge().rate(SAID[1:2], TRUE[1:2])
    judge(key_env="MY_KEY").rate(SAID[2:], TRUE[2:])
    assert list(dict.fromkeys(server.keys)) == ["Bearer none", "Bearer sk-default", "Bearer sk-mine"]
    with pytest.raises(InputError, match="--judge_key_env NO_KEY"):
        judge(key_env="NO_KEY")


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk a", "sk-\u201ca\u201d"])
def test_a_key_that_no_header_can_carry(judge, monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(InputError, match="--judge_key_env MY_KEY: holds a space") as error:
        judge(key_env="MY_KEY")
    assert "sk" not in str(error.value)


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_a_key_that_the_server_repeats_is_not_shown(server, judge, monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.answer = lambda _: problem(status, f"bad request with {server.keys[-1]}")
    with pytest.raises(InputError) as error:
        judge(threads=1).rate(SAID[:1], TRUE[:1])
    assert server.keys[0] == "Bearer sk-secret" and "secret" not in str(error.value)


def test_no_file_holds_the_key(server, judge, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.answer = lambda r: (ok("4") if "Sentence 1:" in question(r) else
                               problem(400, f"filtered {server.keys[-1]}", code="content_filter"))
    one = judge()
    one.rate(SAID, TRUE)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "filtered Bearer [API key]" in written and "secret" not in written + json.dumps(one.summary())


def test_openai_is_imported_only_for_a_url(tmp_path):
    code = ("import sys; from metrics.judge import Judge; Judge('some/model'); assert 'openai' not in sys.modules; "
            "Judge('m', url='http://127.0.0.1:9/v1'); assert 'openai' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"EEG_TO_TEXT_CACHE": str(tmp_path)},
                   cwd=Path(__file__).resolve().parents[1])


def test_models_that_take_other_parameters(server, judge):
    """OpenAI's thinking models refuse max_tokens and any temperature but their own."""
    def picky(request):
        if "max_tokens" in request:
            return problem(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                           "'max_completion_tokens' instead.", param="max_tokens", code="unsupported_parameter")
        if "temperature" in request:
            return problem(400, "'temperature' does not support 0 with this model.", param="temperature")
        return ok("5")

    server.answer = picky
    one = judge(tokens=500)
    assert one.rate(SAID, TRUE).scores["Fluency"].tolist() == [5, 5, 5]
    assert server.asked[-1]["max_completion_tokens"] == 500
    again = judge(tokens=500)
    again.rate(SAID, TRUE)
    assert again.summary()["asked"] == 0
    for told in (one, again):  # also where the answers come from the cache
        assert told.summary()["own_temperature"] == 6 and "6 ratings are at the server's default" in "\n".join(told.lines())


def test_a_server_that_counts_no_tokens(server, judge):
    server.answer = lambda _: ok("3", tokens=None)
    one = judge(price=(1, 1))
    assert one.rate(SAID, TRUE).uncounted == 5
    assert "5 answers came without a token count" in "\n".join(one.lines())


def test_limit_draws_whole_pictures_and_the_same_in_every_file():
    pictures = np.array([f"p{i % 10}" for i in range(40)])
    rows = drawn_rows(pictures, 14, seed=3)
    assert rows.sum() == 12 and len(set(pictures[rows])) == 3
    assert not set(pictures[rows]) & set(pictures[~rows])
    shuffled = np.random.default_rng(0).permutation(pictures)
    assert set(shuffled[drawn_rows(shuffled, 14, seed=3)]) == set(pictures[rows])
    assert len({tuple(drawn_rows(pictures, 14, seed)) for seed in range(20)}) > 10
    drawn = Counter(p for seed in range(2000) for p in set(pictures[drawn_rows(pictures, 4, seed)]))
    assert max(abs(drawn[p] - 200) for p in set(pictures)) < 5 * np.sqrt(2000 * 0.1 * 0.9)  # each alike, 5 sigma
    assert drawn_rows(pictures, None).all() and drawn_rows(pictures, 40).all()
    with pytest.raises(InputError, match="--judge_limit 3"):
        drawn_rows(pictures, 3)


def test_limit_leaves_the_rest_unjudged(server, judge):
    result = judge(limit=2).rate(["A.", "B.", "C.", ""], ["R."] * 4, pictures=["x", "y", "x", "y"])
    judged = np.isfinite(result.scores["Fluency"])
    assert judged.sum() == 2 == result.rows and judged.tolist() in ([True, False, True, False], [False, True, False, True])


def arguments(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run_options(parser)
    return parser.parse_args([str(word) for word in words])


def test_no_judge_unless_asked_for(server):
    assert Judge.from_arguments(arguments()) is None
    with pytest.raises(InputError, match="--judge_url without --judge_model"):
        Judge.from_arguments(arguments("--judge_url", server.url))
    with pytest.raises(InputError, match="http://"):
        Judge.from_arguments(arguments("--judge_model", "m", "--judge_url", "localhost:8000"))
    assert not server.asked


def test_from_arguments(server, tmp_path):
    one = Judge.from_arguments(arguments("--judge_model", "m", "--judge_url", server.url + "/", "--judge_price", 1, 2,
                                         "--judge_limit", 2, "--judge_cache", tmp_path, "--judge_tokens", 9, "--seed", 5))
    result = one.rate(SAID, TRUE)
    assert (result.rows, server.asked[0]["max_tokens"], one.seed) == (2, 9, 5)
    assert result.cost == pytest.approx(result.asked * (100 + 2 * 2) / 1e6)
    assert list(tmp_path.glob("*.jsonl"))


def test_a_tiny_random_model_refuses_and_is_counted(llm, tmp_path):
    def make():
        return Judge(str(llm), cache=tmp_path, tokens=8)

    one = make()
    result = one.rate([*SAID, ""], [*TRUE, "B."])
    assert (result.asked, result.rows, result.empty) == (5, 4, 1)
    assert result.prompt_tokens > 5 * 50 and 5 <= result.completion_tokens <= 5 * 8
    assert sum(result.refused.values()) == sum(int(np.isnan(s).sum()) for s in result.scores.values()) >= 5
    assert [s[3] for s in result.scores.values()] == [1, 1]
    assert one.summary()["model"] == llm.name and str(llm) not in json.dumps(one.summary())
    again = make()
    second = again.rate([*SAID, ""], [*TRUE, "B."])
    assert (second.asked, second.cached, again.backend.model) == (0, 5, None)  # not even loaded


def test_local_answers_do_not_depend_on_the_batch(llm, tmp_path):
    """Left padding is right: alone or beside a longer question, the greedy answer is the same as transformers'."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    judge = Judge(str(llm), cache=tmp_path, tokens=8)
    judge.rate(["A cat.", "A red dog in the blue snow of the grass."], ["A red cat.", "A blue dog in the snow."])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llm), AutoTokenizer.from_pretrained(llm)
    for line in judge.cache.path.read_text().splitlines():
        entry = json.loads(line)
        text = f"<|im_start|>user\n{entry['question']}<|im_end|>\n<|im_start|>assistant\n"
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        assert ids.shape[1] == entry["answer"]["prompt_tokens"]
        new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False,
                             pad_token_id=tokenizer.eos_token_id)[0, ids.shape[1]:]
        assert tokenizer.decode(new, skip_special_tokens=True) == entry["answer"]["text"]


def test_a_model_that_can_think_is_told_not_to(llm, tmp_path):
    backend = Judge(str(llm), cache=tmp_path, tokens=2).backend
    backend._load()
    backend.tokenizer.chat_template = ("{{ messages[0].content }}{% if enable_thinking is false %}cat{% else %}"
                                       "A red cat thinks.{% endif %}")
    assert next(backend._generate(["?"])).prompt_tokens == len(backend.tokenizer("?cat")["input_ids"])


def test_a_base_model_is_asked_without_template(tmp_path):
    folder = make_llm(tmp_path / "opt", kind="opt", chat=False)
    judge = Judge(str(folder), cache=tmp_path, tokens=4)
    assert judge.rate(SAID, TRUE).asked == 5
    assert judge.backend.tokenizer.chat_template is None
    with pytest.raises(InputError, match="reads 256 tokens"):  # it has no position for more
        judge.rate(["A red cat in the grass. " * 20], TRUE[:1])


def test_a_folder_without_model(tmp_path, clip):
    for folder in (tmp_path, clip):
        with pytest.raises(InputError, match=r"--judge_model .* cannot be loaded"):
            Judge(str(folder), cache=tmp_path / "cache").rate(SAID, TRUE)


def test_without_the_package(judge, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"--judge_url .* openai.* requirements-metrics\.txt"):
        judge()


def test_a_cache_that_cannot_be_written(server, judge, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--judge_cache"):
        judge(cache=tmp_path / "file").rate(SAID, TRUE)
