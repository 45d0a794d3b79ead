"""The report page, on a run folder made by code: what it claims, shows, escapes and says to be absent."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from apps import report
from apps.report_charts import bar_chart, loss_chart, thinned, ticks
from apps.report_evidence import choose_examples, claim
from apps.report_page import MEANINGS
from metrics.caption_files import COLUMNS
from metrics.statistics import paired_permutation
from options import CONDITIONS

COLOURS = {"red": (196, 52, 44), "blue": (52, 92, 190), "green": (60, 150, 76), "yellow": (226, 186, 50)}
PLACES = {"in the snow": (236, 240, 246), "on the grass": (150, 196, 120), "by the sea": (120, 180, 220)}
CLASSES = {"s1": "ball", "s2": "house", "s3": "tree", "s4": "star"}
OUR_COLUMNS = ("trial", "subject", "image", "split", "condition", "prompt")
METRICS = ("BLEU", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR", "Object accuracy")


def draw(path, kind, colour, place):
    image = Image.new("RGB", (224, 224), PLACES[place])
    pen = ImageDraw.Draw(image)
    if kind == "ball":
        pen.ellipse((60, 60, 164, 164), fill=COLOURS[colour])
    elif kind == "house":
        pen.rectangle((64, 100, 160, 180), fill=COLOURS[colour])
        pen.polygon(((50, 100), (112, 46), (174, 100)), fill=(90, 60, 50))
    elif kind == "tree":
        pen.rectangle((102, 130, 122, 190), fill=(90, 60, 50))
        pen.ellipse((62, 40, 162, 140), fill=COLOURS[colour])
    else:
        pen.regular_polygon((112, 112, 62), 5, fill=COLOURS[colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def trial_rows(folder, pictures, subjects, rng):
    """True attributes and predicted class of each trial."""
    rows = []
    for number in range(pictures):
        kind = list(CLASSES)[number % len(CLASSES)]
        colour, place = rng.choice(list(COLOURS)), rng.choice(list(PLACES))
        name = f"{kind}_{number}"
        path = folder / "data" / "images" / kind / f"{name}.JPEG"
        draw(path, CLASSES[kind], colour, place)
        for subject in range(1, subjects + 1):
            guess = CLASSES[kind] if rng.random() < 0.8 else rng.choice(list(CLASSES.values()))
            rows.append({"path": str(path), "name": name, "object": CLASSES[kind], "guess": guess, "colour": colour,
                         "place": place, "subject": subject, "trial": len(rows)})
    return rows


def write_results(folder, rows, rng, signal, class_known):
    """One CSV a condition; with signal the captions of eeg+label hold the picture's colour and place."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = list(CLASSES.values())
    for condition in CONDITIONS:
        captions = []
        for row in rows:
            sees = {"eeg+label": signal, "eeg": signal, "oracle_label": signal, "image": 0.95}.get(condition, 0)
            colour = row["colour"] if rng.random() < sees else rng.choice(list(COLOURS))
            place = row["place"] if rng.random() < sees else rng.choice(list(PLACES))
            kind = row["guess"] if class_known else rng.choice(objects)
            if condition in ("image", "oracle_label"):
                kind = row["object"]
            elif condition in ("shuffled", "noise") or (condition == "eeg" and not signal):
                kind = rng.choice(objects)
            captions.append(f"A {colour} {kind} {place}.")
        table = pd.DataFrame(
            [(row["path"], row["object"], row["guess"], f"A {row['colour']} {row['object']} {row['place']}.", caption,
              row["trial"], row["subject"], row["name"], "test", condition, "basic")
             for row, caption in zip(rows, captions, strict=True)], columns=[*COLUMNS, *OUR_COLUMNS])
        suffix = "" if condition == "eeg+label" else f"_{condition}"
        table.to_csv(folder / f"captions{suffix}.csv", index=False)


def make_run(folder, signal=0.8, class_known=True, pictures=24, subjects=3, seed=0):
    """A run folder as the recipes leave it, without models; scores.json is written by hand, in evaluate.py's format."""
    rng = np.random.default_rng(seed)
    rows = trial_rows(folder, pictures, subjects, rng)
    write_results(folder / "results", rows, rng, signal, class_known)
    scores = {}
    for file in sorted((folder / "results").glob("*.csv")):
        means = {metric: float(rng.uniform(0.2, 0.7)) for metric in METRICS}
        means["BLEU"] = means["BLEU-4"]
        scores[file.name] = {"n": len(rows), **means, "95%": {m: [v - 0.04, v + 0.05] for m, v in means.items()},
                             "condition": pd.read_csv(file)["condition"][0]}
    encoder = folder / "eeg_encoder"
    (encoder / "test").mkdir(parents=True)
    (folder / "captioner").mkdir()
    write(folder / "scores.json", scores)
    write(encoder / "test" / "scores.json", {
        "n": len(rows), "n_classes": 4, "top1": 0.8125, "top5": 1.0, "balanced_accuracy": 0.807,
        "balanced_accuracy_95": [0.71, 0.89], "chance": 0.25, "retrieval": {"top1": 0.208, "top5": 0.625, "n": pictures},
        "classical_baseline": {"name": "xDAWN + tangent space + logistic regression", "balanced_accuracy": 0.744,
                               "balanced_accuracy_95": [0.65, 0.84]}})
    matrix = Image.new("RGB", (600, 520), "white")
    for i in range(4):
        for j in range(4):
            ImageDraw.Draw(matrix).rectangle((80 + 110 * j, 40 + 100 * i, 185 + 110 * j, 135 + 100 * i),
                                             fill=(20, 60, 140) if i == j else (200, 215, 240))
    matrix.save(encoder / "test" / "confusion_matrix.png")
    write(encoder / "train_log.json", {"stage1": log(2.2, 0.6, 12, rng)})
    write(folder / "captioner" / "train_log.json", {"stage2": log(3.1, 0.5, 3, rng), "stage3": log(1.4, 0.35, 2, rng)})
    for stage in ("eeg_encoder", "captioner"):
        write(folder / stage / "args.json", {"options": {"learning_rate": 0.0003, "image_dir": "data/images", "seed": 42},
                                             "versions": {"python": "3.12.3", "torch": "2.13.0"}, "fingerprint": "ab12"})
    return folder


def log(start, end, epochs, rng):
    """A log_history: losses every tenth of an epoch, validation after each, the Trainer's summary last."""
    def loss(epoch):
        return end + (start - end) * float(np.exp(-4 * epoch / epochs))

    entries = []
    for step in range(1, 10 * epochs + 1):
        epoch = step / 10
        entries.append({"loss": loss(epoch) + rng.normal(0, 0.04), "learning_rate": 1e-4, "epoch": epoch, "step": step})
        if step % 10 == 0:
            entries.append({"eval_loss": loss(epoch) + 0.1, "epoch": epoch, "step": step})
    return [*entries, {"train_runtime": 12.3, "train_loss": 1.0, "epoch": epochs}]


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def edit(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write(path, content)


def page_of(folder, *options):
    report.main([str(folder), *options])
    return (folder / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "rect", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture(scope="module")
def page(run):
    return page_of(run)


@pytest.fixture
def own_run(tmp_path):
    return make_run(tmp_path / "run", pictures=8, subjects=2)


def test_the_page_is_one_file_without_references(run, page):
    elements = Elements(page)
    assert not elements.open
    pictures = [attrs["src"] for tag, attrs in elements.found if tag == "img"]
    assert len(pictures) == 24 + 1 and all(src.startswith("data:image/") for src in pictures)
    for tag, attrs in elements.found:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert not {"href", "srcset", "onload", "onerror", "style"} & set(attrs)
        assert tag == "img" or "src" not in attrs
    assert "url(" not in page and "@import" not in page and "://" not in page
    first = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert max(first.size) == 160
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_every_picture_and_chart_has_a_text(page):
    elements = Elements(page).found
    assert all(attrs.get("alt") for tag, attrs in elements if tag == "img")
    assert page.count("<svg") == page.count("<title>") - 1 == page.count("<desc>") == 4 + 3
    assert all(attrs.get("scope") for tag, attrs in elements if tag == "th")
    assert page.count("<table") == page.count("<caption>")


def test_the_table_holds_the_numbers_of_scores_json(run, page):
    scores = json.loads((run / "scores.json").read_text())
    for entry in scores.values():
        row = re.search(rf'<th scope="row"[^>]*>{re.escape(entry["condition"])}</th>(.*?)</tr>', page, re.S)[1]
        for metric in METRICS:
            low, high = entry["95%"][metric]
            assert f"{entry[metric]:.3f}" in row and f"{low:.3f} to {high:.3f}" in row
    assert "0.807" in page and "0.710 to 0.890" in page and "xDAWN" in page and "0.744" in page
    best = max(entry["ROUGE-1"] for entry in scores.values() if entry["condition"] not in ("oracle_label", "image"))
    assert f"<b>{best:.3f}</b>" in page


def test_all_conditions_are_explained_and_all_controls_compared(page):
    assert tuple(MEANINGS) == CONDITIONS
    differences = page.split("minus each control")[1].split("</table>")[0]
    assert re.findall(r'<th scope="row">([^<]+)</th>', differences) == list(CONDITIONS[1:])


def test_the_claim_follows_the_numbers(run, page, tmp_path, capsys):
    sentence = re.search(r'class="claim">(.*?)</p>', page, re.S)[1]
    assert sentence.startswith("Beyond the class name the EEG adds +0.")
    assert "p = 0.0001, N = 72 trials of 24 pictures" in sentence
    ours, control = (pd.read_csv(run / "results" / f"captions{suffix}.csv") for suffix in ("", "_shuffled_within_class"))

    def rouge(table):  # ROUGE-1 F of captions without repeated words
        pairs = zip(table["Expected Caption"], table["Generated Caption"], strict=True)
        words = [(set(a.lower().strip(".").split()), set(b.lower().strip(".").split())) for a, b in pairs]
        return np.array([2 * len(a & b) / (len(a) + len(b)) for a, b in words])

    expected = rouge(ours) - rouge(control)
    assert f"adds {expected.mean():+.3f} ROUGE-1" in sentence
    assert paired_permutation(rouge(ours), rouge(control), clusters=ours["image"]) < 0.001

    carried = page_of(make_run(tmp_path / "off", signal=0, seed=3))
    assert "The captions carry the class; beyond the class no evidence was found: " in carried
    page_of(make_run(tmp_path / "nothing", signal=0, class_known=False, seed=5))
    assert "No evidence was found that the captions carry the class" in capsys.readouterr().out


def test_a_worse_score_or_one_picture_is_no_gain():
    from apps.report_evidence import Difference

    worse = Difference("shuffled_within_class", -0.1, -0.15, -0.05, 0.001, 96, 24)
    assert claim({worse.control: worse}).startswith("The trial's own EEG makes the captions worse")
    alone = Difference("shuffled_within_class", 0.4, float("nan"), float("nan"), 1.0, 4, 1)
    assert claim({alone.control: alone}).startswith("Beyond the class no evidence was found: +0.400 ROUGE-1 [no interval")
    wide = Difference("shuffled_within_class", 0.1, 0.01, 0.2, 0.06, 96, 24)
    assert claim({wide.control: wide}).startswith("Beyond the class no evidence")
    assert claim({}).startswith("No claim")


def test_texts_are_escaped(own_run):
    path = own_run / "results" / "captions.csv"
    table = pd.read_csv(path)
    table["Generated Caption"] = "<script>alert(1)</script> & </p>"
    table["Predicted object"] = '"><img src=x onerror=alert(2)>'
    table.to_csv(path, index=False)
    edit(own_run / "captioner" / "args.json", lambda args: args["options"].update({"<b>x": "</td><script>1\ud800"}))
    edit(own_run / "scores.json", lambda scores: scores.update({"<i>a.csv": {"n": 3, "ROUGE-1": 0.1, "condition": "<u>b"}}))
    page = page_of(own_run, "--title", "<script>3</script>")
    assert "<script" not in page and "<img src=x" not in page and "<i>a" not in page and "<u>b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;/p&gt;" in page
    assert "&lt;script&gt;3&lt;/script&gt;" in page
    assert not Elements(page).open


def test_examples_are_ranked_and_show_contrasts(page):
    shown = page.split('id="examples"')[1].split("</section>")[0]
    groups = re.split(r"<h3>(Good|Median|Bad)</h3>", shown)[1:]
    scores = {group: [float(x) for x in re.findall(r"ROUGE-1 ([\d.]+) ·", text)]
              for group, text in zip(groups[::2], groups[1::2], strict=True)}
    assert [len(scores[group]) for group in ("Good", "Median", "Bad")] == [8, 8, 8]
    assert min(scores["Good"]) >= max(scores["Median"]) >= min(scores["Median"]) >= max(scores["Bad"])
    assert shown.count("<dt>shuffled_within_class</dt>") == shown.count("<dt>label</dt>") == 24
    assert 'class="right">✓' in shown and 'class="wrong">✗' in shown


def test_example_choice_repeats_no_row_and_pictures_only_where_it_must():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    chosen = choose_examples(scores, list("aabbcc"), 6)
    assert sorted(row for rows in chosen.values() for row in rows) == list(range(6))
    assert chosen["good"] == [0, 2] and chosen["bad"] == [3, 5]
    assert choose_examples(scores, ["a"] * 6, 4) == {"good": [0, 1], "median": [2], "bad": [5]}
    assert choose_examples(scores, list("abcdef"), 0) == {"good": [], "median": [], "bad": []}
    assert sum(map(len, choose_examples(scores, list("abcdef"), 50).values())) == 6


def test_a_second_run_stands_beside(own_run, tmp_path):
    other = make_run(tmp_path / "off", signal=0, pictures=8, subjects=2, seed=4)
    page = page_of(own_run, "--compare", str(other))
    assert page.count(f"Beside it, {other}:") == 2  # its claim and its encoder's accuracy
    theirs = json.loads((other / "scores.json").read_text())["captions_label.csv"]["METEOR"]
    assert f"{theirs:.3f}" in page.split("This run and")[1].split("</table>")[0]
    other.rename(own_run / "snr0")
    assert "snr0:</b> " in page_of(own_run)


@pytest.mark.parametrize(("absent", "said"), [
    ("scores.json", "scores.json is not in this run"),
    ("eeg_encoder", "eeg_encoder/test/scores.json is not in this run"),
    ("captioner", "Stage 3: captioner on EEG embeddings: no losses in this run"),
    ("eeg_encoder/test/confusion_matrix.png", "eeg_encoder/test/confusion_matrix.png is not in this run or no picture"),
    ("captioner/args.json", "captioner/args.json is not in this run"),
    ("results/captions_shuffled_within_class.csv", "No captions under shuffled_within_class in results/"),
    ("results/captions.csv", "this run holds no captions under eeg+label"),
    ("results", "results/ holds no CSV of captions"),
    ("data", "picture not found: s1_0"),
])
def test_an_absent_part_is_named(own_run, absent, said):
    path = own_run / absent
    path.rename(own_run.parent / "away")
    page = page_of(own_run)
    assert said in page
    if absent.startswith("results"):
        assert "No claim" in page


def test_scores_of_other_captions_and_losses_that_are_no_numbers_are_named(own_run):
    edit(own_run / "scores.json", lambda scores: scores["captions_label.csv"].update(n=5))
    edit(own_run / "captioner" / "train_log.json", lambda log: log["stage2"].append({"loss": float("nan"), "epoch": 3}))
    page = page_of(own_run)
    assert "The table is not of the captions in results/: captions_label.csv" in page
    assert "stage2: 1 training losses are not finite" in page


def test_the_newer_of_two_files_of_a_condition_is_used(own_run):
    import os

    newer = own_run / "results" / "again.csv"
    newer.write_bytes((own_run / "results" / "captions_label.csv").read_bytes())
    os.utime(own_run / "results" / "captions_label.csv", (1, 1))
    assert "captions_label.csv and again.csv hold the same condition" in page_of(own_run)


def test_a_file_without_condition_and_a_picture_name_that_cannot_be_are_said(own_run):
    table = pd.read_csv(own_run / "results" / "captions.csv")
    table[list(COLUMNS)].to_csv(own_run / "results" / "published.csv", index=False)
    broken = own_run / "data" / "images" / "s1" / "s1_0.JPEG"
    broken.write_bytes(b"no picture")
    (own_run / "results" / "captions.csv").write_text(table.to_csv(index=False).replace("s2_1", "s2\0_1"), newline="")
    page = page_of(own_run)
    assert "published.csv names no condition" in page and "picture not found: s1_0" in page


def test_scores_of_evaluate_are_read(own_run):
    import evaluate

    files = sorted(str(path) for path in (own_run / "results").glob("*.csv"))
    evaluate.main([*files, "--json", str(own_run / "scores.json"), "--metrics", "BLEU", "ROUGE-1", "--n_boot", "50",
                   "--n_perm", "50"])
    scores = json.loads((own_run / "scores.json").read_text())
    page = page_of(own_run)
    assert all(f"{entry['ROUGE-1']:.3f}" in page for entry in scores.values())
    difference = -scores["captions_shuffled_within_class.csv"]["against"]["ROUGE-1"]["difference"]
    assert f"{difference:+.3f} ROUGE-1" in page


def test_bad_input_exits_with_2(own_run, tmp_path, capsys):
    def fails(arguments, *said):
        with pytest.raises(SystemExit) as stop:
            report.main([str(argument) for argument in arguments])
        message = capsys.readouterr().err
        assert stop.value.code == 2 and all(text in message for text in said), message

    fails([tmp_path / "none"], "none: no such folder", "expected a run folder")
    (tmp_path / "empty").mkdir()
    fails([tmp_path / "empty"], "no run folder", "results/*.csv", "eeg_encoder")
    fails([own_run, "--compare", tmp_path / "empty"], "no run folder")
    fails([own_run, "--examples", "-1"], "--examples")
    (own_run / "captioner" / "args.json").write_text("{")
    fails([own_run], "args.json: not readable as JSON")
    write(own_run / "captioner" / "args.json", {})
    write(own_run / "scores.json", {"captions.csv": {"BLEU": 1}})
    fails([own_run], "scores.json", "'n'")
    write(own_run / "scores.json", {"captions.csv": {"n": 3, "95%": [0, 1]}})
    fails([own_run], "scores.json", "'95%'")
    for log in ({"stage3": [{"loss": "low", "epoch": 1}]}, {"stage3": 5}, {"stage3": [{"loss": 1.0}]}):
        write(own_run / "scores.json", {})
        write(own_run / "captioner" / "train_log.json", log)
        fails([own_run], "train_log.json: 'stage3'")
    write(own_run / "eeg_encoder" / "test" / "scores.json", {"top1": 0.5, "retrieval": [1]})
    fails([own_run], "test/scores.json", "'retrieval'")
    write(own_run / "scores.json", [])
    fails([own_run], "holds a list, expected a dict")
    assert not (own_run / "report.html").exists()


def test_help_needs_no_heavy_import():
    import subprocess
    import sys

    code = ("import sys, apps.report\ntry: apps.report.main(['--help'])\n"
            "except SystemExit: print([m for m in ('torch', 'pandas', 'matplotlib', 'jinja2') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(report.__file__).parents[1],
                          capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]") and "--compare" in done.stdout


def test_charts_at_their_limits():
    assert ticks(0, 1) == [0, 0.5, 1] or len(ticks(0, 1)) >= 3
    assert all(0.011 <= mark <= 0.019 for mark in ticks(0.011, 0.019))
    assert len(thinned([(i, i) for i in range(5000)])) == 300
    flat = loss_chart("<t>", {"training": [(1.0, 0.0)], "validation": []})
    assert "nan" not in flat and "&lt;t&gt;" in flat
    zero = bar_chart("M", [("a", "control", [(0.0, None, None), None])])
    assert "nan" not in zero and "0.000" in zero
