"""The report: what it shows of results made by hand, in which order, and what it escapes."""

import base64
import io
import json
import re
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from report.examples import choose_examples
from report.latex import escaped, table
from report.traces import read_eeg
from report_material import CHANNELS, KINDS, Elements, edit, make_results, make_run, page_of, section, write


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
    assert len(pictures) == 5 + 24 + 1 and all(src.startswith("data:image/") for src in pictures)
    for tag, attrs in elements.found:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert not {"srcset", "onload", "onerror"} & set(attrs)
        assert attrs.get("href", "#").startswith("#") and (tag == "img" or "src" not in attrs)
    assert "@import" not in page and "://" not in page
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {f"#{name}" for name in ids}
    named = {attrs["aria-labelledby"] for _, attrs in elements.found if "aria-labelledby" in attrs}
    assert len(ids) == len(set(ids)) and named <= set(ids)
    first = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert max(first.size) == 160
    assert not [path for path in (run / "report").iterdir() if path.name.startswith(".")]


def test_every_picture_and_chart_has_a_text_and_every_table_its_heads(page):
    elements = Elements(page).found
    assert all(attrs.get("alt") for tag, attrs in elements if tag == "img")
    assert page.count("<svg") == page.count("<title>") - 1 == page.count("<desc>")
    assert page.count("<svg") == 4 + 1 + 1 + 2 + 2 + 24 + 3  # bars, range, subjects, calibration, evoked, EEG, losses
    assert all(attrs.get("scope") for tag, attrs in elements if tag == "th")
    assert page.count("<table") == page.count("<caption>") == page.count("<thead>")
    assert "nan" not in re.sub(r"data:image[^\"]*", "", page)


def test_tables_hold_the_numbers_of_the_results(run, page):
    study = make_results(run)["studies"][0]
    rows = page.split("<caption>All scores</caption>")[1].split("</table>")[0]
    for entry in study["conditions"]:
        row = re.search(rf'<th scope="row"[^>]*>{re.escape(entry["condition"])}</th>(.*?)</tr>', rows, re.S)[1]
        for score in entry["scores"].values():
            assert f"{score['mean']:.3f}<small>[{score['low']:.3f}, {score['high']:.3f}]</small>" in row
    differences = section(page, "scores").split("Paired differences</caption>")[1].split("</table>")[0]
    for one in study["comparisons"]:
        row = differences.split(f">{one['control']}</th>")[1].split("</tr>")[0]
        assert all(text in row for text in (f"{one['difference']:+.3f}", f"[{one['low']:.3f}, {one['high']:.3f}]",
                                            f"{one['p']:.4f}", f"{one['p_holm']:.4f}"))
    corpus = section(page, "scores").split("<caption>Corpus measures</caption>")[1].split("</table>")[0]
    assert all(f"{entry['corpus']['distinct-1']:.3f}" in corpus for entry in study["conditions"])
    assert "0.807" in page and "[0.710, 0.890]" in page and "xDAWN" in page and "0.744" in page
    assert "0.063" in page and "[-0.012, 0.131]" in page and "Share of the transformer branch in the class logits" in page


def test_parts_are_shown_in_their_order(page):
    parts = ["claim", "verdicts", "s0-range", "s0-scores", "s0-subjects", "s0-power", "s0-calibration", "s0-examples",
             "s0-encoder", "s0-audit", "s0-losses", "s0-options", "evaluation", "meanings", "metrics"]
    places = [page.index(f'="{part}"') if part in ("claim", "verdicts") else page.index(f'id="{part}"') for part in parts]
    assert places == sorted(places)
    assert "The model is at 37% of the range [21%, 53%]." in section(page, "range")
    assert "a true difference of 0.044 ROUGE-1 is detected with a probability of 80%" in section(page, "power")
    assert "8,120" in section(page, "power")
    assert "error is 0.081 [0.040, 0.120]; perfect probabilities would have 0.062" in section(page, "calibration")
    assert "+0.120" in section(page, "subjects")
    assert "The evidence is at 100 to 200 ms over occipital sensors." in section(page, "encoder")
    assert ("Judge: judge-1; 36 rows, 70 questions asked, 2 answered from the cache, cost 0.0123. 3 ratings are missing"
            in page)


def test_retrieval_stands_beside_its_chance(page):
    table = page.split("<caption>Retrieval of the true caption</caption>")[1].split("</table>")[0]
    heads = re.findall(r'<th scope="col">([^<]+)</th>', table)
    assert heads == ["Condition", "n", "2-way (text)", "50-way (text)"]
    assert re.findall(r"<td>([\d.]+)</td>", table.split(">chance</th>")[1]) == ["0.500", "0.020"]


def test_the_claim_comes_first_and_what_it_must_be_read_with_directly_below(run):
    results = make_results(run)
    origin = results["studies"][0]["provenance"]
    origin |= {"trained_on": 5, "allowed": True, "machine_made": 7}
    header = page_of(run, results, examples=0).split("</header>")[0]
    assert re.search(r'class="claim">(.*?)</p>', header, re.S)[1] == results["studies"][0]["claim"]
    said = re.findall(r'<li class="is-(\w+)"><p><span class="badge">\w+</span>(.*?)</p>', header)
    assert [severity for severity, _ in said] == ["warning", "severe", "warning", "warning", "note"]
    for (_, text), part in zip(said, ("Each class was shown in one block.", "trained on 5 of the 12 pictures that it is "
                                      "tested on, which --allow_overlap",
                                      "7 of the 12 true captions were written by a model",
                                      "There are no captions under noise, so", "scored 3 times, by 2 models"), strict=True):
        assert part in text
    origin |= {"trained_on": None, "machine_made": None, "ledger": None}
    assert "does not say which pictures it was trained on" in page_of(run, results, examples=0)


def test_verdicts_are_those_of_the_results(page):
    cards = re.findall(r'<div class="verdict is-(\w+)">(.*?)</div>', page, re.S)
    assert [css for css, _ in cards] == ["yes", "no", "unknown"]
    for (_, text), answer in zip(cards, ("yes", "no evidence", "not testable"), strict=True):
        assert f'<p class="answer">{answer}</p>' in text
    assert "+0.234 ROUGE-1 [" in cards[0][1] and "p = 0.0002" in cards[0][1]
    assert "+0.012 ROUGE-1 [" in cards[1][1] and "p = 0.4100" in cards[1][1]
    assert "no captions under noise" in cards[2][1] and "ROUGE-1" not in cards[2][1]


def test_bold_is_the_model_alone_and_only_where_it_beats_the_floor(run, page):
    def bold(text):
        return re.findall(r"<b>([\d.]+)</b>", text.split("<caption>Main scores</caption>")[1].split("</table>")[0])

    results = make_results(run)
    study = results["studies"][0]
    assert bold(page) == [] and r"\textbf" not in (run / "report" / "table.tex").read_text()
    study["verdicts"]["better_than_nothing"] |= {"holds": True, "best": "label", "difference": 0.1}
    mean = f"{study['conditions'][0]['scores']['ROUGE-1']['mean']:.3f}"
    assert bold(page_of(run, results, examples=0)) == [mean]
    assert re.findall(r"\\textbf\{(.*?)\}", (run / "report" / "table.tex").read_text()) == [mean]


def test_only_conditions_and_metrics_of_the_results_are_explained(page):
    meanings = re.findall(r"<div><dt>([^<]+)</dt>", page.split('id="meanings"')[1])
    assert set(KINDS) < set(meanings) and "noise" not in meanings and {"METEOR", "2-way (text)"} < set(meanings)
    assert "CIDEr" not in meanings


def test_texts_are_escaped(own_run):
    path = own_run / "results" / "captions.csv"
    table = pd.read_csv(path)
    table["Generated Caption"] = "<script>alert(1)</script> & </p>"
    table["Predicted object"] = '"><img src=x onerror=alert(2)>'
    table.to_csv(path, index=False)
    edit(own_run / "captioner" / "args.json", lambda args: args["options"].update({"<b>x": "</td><script>1\ud800"}))
    results = make_results(own_run, name="<i>a.csv") | {"title": "<script>3</script>"}
    study = results["studies"][0]
    study["claim"] = "<script>4</script>"
    study["conditions"][1]["condition"] = "<u>b"
    study["notes"] = ["<script>5</script>"]
    page = page_of(own_run, results)
    assert "<script" not in page and "<img src=x" not in page and "<i>a" not in page and "<u>b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;/p&gt;" in page and "&lt;script&gt;3&lt;/script&gt;" in page
    assert not Elements(page).open


def test_examples_are_ranked_and_show_contrasts_and_eeg(page):
    shown = section(page, "examples")
    groups = re.split(r"<h3>(Good|Median|Bad)</h3>", shown)[1:]
    scores = {group: [float(x) for x in re.findall(r"ROUGE-1 ([\d.]+) ·", text)]
              for group, text in zip(groups[::2], groups[1::2], strict=True)}
    assert [len(scores[group]) for group in ("Good", "Median", "Bad")] == [8, 8, 8]
    assert min(scores["Good"]) >= max(scores["Median"]) >= min(scores["Median"]) >= max(scores["Bad"])
    assert shown.count("<dt>shuffled_within_class</dt>") == shown.count("<dt>label</dt>") == 24
    assert 'class="right">✓' in shown and 'class="wrong">✗' in shown
    assert shown.count("EEG of trial") == 24 and "ms from the picture" in shown and "µV" in shown


def test_contrasts_are_of_the_same_trial(own_run):
    table = pd.read_csv(own_run / "results" / "captions_label.csv", dtype=str)
    table["Generated Caption"] = [f"label of trial {trial} end" for trial in table["trial"]]
    table.sample(frac=1, random_state=0).to_csv(own_run / "results" / "captions_label.csv", index=False)
    cards = section(page_of(own_run), "examples").split("<article>")[1:]
    assert cards
    for card in cards:
        trial = re.search(r"trial (\d+)</p>", card)[1]
        assert f"label of trial {trial} end" in card and f"EEG of trial {trial}," in card


def test_example_choice_repeats_no_row_and_pictures_only_where_it_must():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    chosen = choose_examples(scores, list("aabbcc"), 6)
    assert sorted(row for rows in chosen.values() for row in rows) == list(range(6))
    assert chosen["good"] == [0, 2] and chosen["bad"] == [3, 5]
    assert choose_examples(scores, ["a"] * 6, 4) == {"good": [0, 1], "median": [2], "bad": [5]}
    assert choose_examples(scores, list("abcdef"), 0) == {"good": [], "median": [], "bad": []}
    assert choose_examples(scores, list("abcdef"), 50) == {"good": [0, 1], "median": [2, 3], "bad": [4, 5]}


def test_eeg_is_that_of_the_trials_asked_for(run):
    from eegdata.dataset_folder import open_folder, read_record

    fingerprint = read_record(run / "data")["fingerprint"]
    eeg, refusal = read_eeg(run / "data", fingerprint, {30: "tree_6", 1: "house_1"})
    assert not refusal and sorted(eeg.curves) == [1, 30] and eeg.names == ["GFP", *CHANNELS] and eeg.onset
    assert eeg.ms[0] == pytest.approx(-200) and eeg.ms[eeg.curves[30][0].argmax()] == pytest.approx(120)
    raw = np.concatenate(open_folder(run / "data")[1])[30]
    raw = raw - raw.mean(1, keepdims=True)
    assert np.allclose(eeg.curves[30][1:], raw, atol=1e-4) and np.allclose(eeg.curves[30][0], raw.std(0), atol=1e-4)
    assert read_eeg(run / "data", fingerprint, {30: "house_1"}) == (
        None, f"trial 30 of {run / 'data'} is not the one that the captions are of; expected picture house_1")
    assert "trial 5000" in read_eeg(run / "data", None, {5000: ""})[1]
    assert "has changed since it was used" in read_eeg(run / "data", "0" * 16, {1: "house_1"})[1]


def test_a_large_file_is_not_read(run, monkeypatch):
    monkeypatch.setattr("report.run.MAX_FILE_BYTES", 10)
    assert "too large" in read_eeg(run / "data" / "splits.pth", None, {1: ""})[1]


def test_eeg_of_a_pth_file_is_drawn_too(data):
    eeg, refusal = read_eeg(data / "eeg.pth", None, {3: "", 9: ""})
    assert not refusal and not eeg.onset and eeg.ms[0] == 0 and eeg.curves[9].shape == (7, 64)


def test_several_studies_have_a_part_each(run):
    one, two = make_results(run, seed=1, name="a.csv"), make_results(run, seed=2, name="b.csv")
    two["studies"][0]["claim"] = "Another claim."
    two["studies"][0]["comparisons"] = []
    one["studies"] += two["studies"]
    one["models"] = [{"a": "a.csv", "b": "b.csv", "n": 36, "difference": 0.0567, "low": 0.01, "high": 0.09, "p": 0.003,
                      "p_holm": 0.0041}]
    page = page_of(run, one, examples=3)
    assert not Elements(page).open and page.count('class="claim"') == 2 and "<b>b.csv:</b> Another claim." in page
    models = page.split('id="models"')[1].split("</section>")[0]
    assert "+0.057" in models and "0.0041" in models
    assert 'href="#s1"' in page and "<h3 id=\"s1-scores\">" in page
    for study, key in zip(one["studies"], ("s0", "s1"), strict=True):
        assert f"{study['conditions'][3]['scores']['METEOR']['mean']:.3f}" in section(page, "scores", key)
    assert (run / "report" / "table.tex").read_text().count(r"\begin{tabular}") == 2


def test_other_results_stand_beside(run, tmp_path):
    other = make_results(run, seed=9)
    other["studies"][0]["claim"] = "The other claim."
    write(tmp_path / "other.json", other)
    page = page_of(run, beside=tmp_path / "other.json", examples=0)
    assert "<b>Beside it, " in page and "The other claim." in page
    table = page.split("<caption>These results and")[1].split("</table>")[0]
    for results in (make_results(run), other):
        assert f"{results['studies'][0]['conditions'][2]['scores']['METEOR']['mean']:.3f}" in table
    assert "swatch model other" in section(page, "scores") and "var(--accent-pale)" in section(page, "scores")
    write(tmp_path / "other.json", {"format": "x"})
    with pytest.raises(InputError, match=r"--beside .*other.json: format: .*'x'"):
        page_of(run, beside=tmp_path / "other.json")
    for damage in ({"conditions": None}, {"claim": 5}, {"conditions": [{"condition": "eeg+label"}]}):
        write(tmp_path / "other.json", other | {"studies": [other["studies"][0] | damage]})
        with pytest.raises(InputError, match=r"other.json: studies\.0\..* give a results.json"):
            page_of(run, beside=tmp_path / "other.json")


def test_a_model_below_the_floor_is_not_placed_in_percent(own_run):
    results = make_results(own_run)
    results["studies"][0]["range"] |= {"position": -1.5, "low": -2.0, "high": -1.2}
    shown = section(page_of(own_run, results, examples=0), "range")
    assert "The model is below the floor." in shown and "-150%" not in shown


def test_a_doubted_study_says_so_and_shows_no_win(own_run):
    results = make_results(own_run)
    study = results["studies"][0]
    study["verdicts"]["better_than_nothing"] |= {"holds": True, "difference": 0.1, "p": 0.001, "best": "label"}
    won, table = page_of(own_run, results, examples=0), own_run / "report" / "table.tex"
    assert won.count('class="answer">yes<') == 2 and r"\textbf" in table.read_text()
    study["doubts"] = [{"severity": "severe", "text": "x.csv was changed"},
                       {"severity": "warning", "text": "Rows are few."}]
    page = page_of(own_run, results, examples=0)
    assert page.count('class="answer">doubtful<') == 2 and 'class="answer">yes<' not in page
    assert r"\textbf" not in table.read_text()
    assert '<span class="badge">warning</span>Rows are few.' in page.split("</header>")[0]


def test_a_full_disk_leaves_the_earlier_report_whole(own_run, full_disk):
    page_of(own_run)
    before = {path.name: path.read_bytes() for path in (own_run / "report").iterdir()}
    with full_disk(), pytest.raises(OSError):
        page_of(own_run, make_results(own_run, seed=5))
    assert {path.name: path.read_bytes() for path in (own_run / "report").iterdir()} == before


def test_results_are_written_as_they_are(run, page):
    found, expected = json.loads((run / "report" / "results.json").read_text()), make_results(run)
    audit, doubts = (found["studies"][0].pop(key) for key in ("audit", "doubts"))
    assert audit["findings"][0]["check"] == "Blocks" and "one block" in doubts[0]["text"]
    expected["studies"][0].pop("doubts")
    assert found == expected


def test_the_latex_table_is_whole_and_escaped(run):
    results = make_results(run, name="50%_a.csv")
    results["studies"][0]["claim"] = r"p < 0.05 & 100% of {x} \ # $ ~ ^ _"
    page_of(run, results, examples=0)
    text = (run / "report" / "table.tex").read_text()
    assert text.count(r"\begin") == text.count(r"\end") == 2 and text.count("{") - text.count(r"\{") == (
        text.count("}") - text.count(r"\}"))
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    columns = len(re.search(r"\\begin\{tabular\}\{l(r+)\}", text)[1])
    assert len(rows) == 1 + 2 * len(KINDS) and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns}
    assert all(text.count(rule) == 1 for rule in (r"\toprule", r"\bottomrule", r"\caption", r"\label"))
    caption = re.search(r"\\caption\{(.*)\}\n", text)[1]
    assert r"p \textless{} 0.05 \& 100\% of \{x\} \textbackslash{} \# \$ \textasciitilde{} \textasciicircum{} \_" in caption
    assert "N = 36 trials of 12 pictures and 3 subjects" in caption and "Nothing is bold" in caption
    assert r"shuffled\_within\_class &" in text and r"\label{tab:eeg-to-text-50-a-csv-1}" in text
    assert escaped('a\nb "c"') == "a b ''c''"


def test_the_latex_table_says_n_where_a_condition_has_other_trials(run):
    """Its caption gives one N, so scores of a control that lacks rows were taken for scores of all trials."""
    results = make_results(run)
    next(one for one in results["studies"][0]["conditions"] if one["condition"] == "label")["n"] = 20
    text = table(results["studies"][0], "ROUGE-1", .05)
    assert "label (n = 20) &" in text and text.count("(n = ") == 1


def test_the_package_imports_nothing_heavy():
    import subprocess
    import sys

    code = ("import sys, report\nprint([name for name in ('torch', 'pandas', 'matplotlib', 'jinja2', 'mne') "
            "if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True,
                          text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_below_its_floor_is_said_to_be_worse():
    from report.sections import verdict_cards

    verdict = {"holds": False, "difference": -0.03, "low": -0.06, "high": -0.01, "p": 0.01, "best": "constant"}
    study = {"verdicts": dict.fromkeys(("class", "beyond_class", "better_than_nothing"), verdict), "doubts": []}
    assert verdict_cards(study, 0.05)[2]["answer"] == "no, worse"
    verdict["p"] = 0.3
    assert verdict_cards(study, 0.05)[2]["answer"] == "no evidence"


def test_the_card_of_the_class_tells_of_an_accuracy_that_decides():
    """A p of .003 beside a gain of +.249 was "no evidence", and nothing said why."""
    from report.sections import verdict_cards

    verdict = {"holds": False, "difference": 0.249, "low": 0.23, "high": 0.264, "p": 0.003, "accuracy_gain": -0.25,
               "accuracy_p": 0.003}
    (card,) = verdict_cards({"verdicts": {"class": verdict}, "doubts": []}, 0.05)
    assert card["answer"] == "no evidence" and card["text"] == (
        "The accuracy of the predicted classes is -0.250 from chance, p = 0.0030. It must be shown to be above chance, "
        "too.")
    (card,) = verdict_cards({"verdicts": {"class": verdict | {"holds": True}}, "doubts": []}, 0.05)
    assert card["text"] == ""


def test_a_card_shows_the_p_that_decides_where_several_models_are_tested():
    from report.sections import verdict_cards

    verdict = {"holds": False, "difference": -0.03, "low": -0.06, "high": -0.01, "p": 0.03, "p_studies": 0.06}
    (card,) = verdict_cards({"verdicts": {"beyond_class": verdict}, "doubts": []}, 0.05)
    assert (card["answer"], card["p"]) == ("no evidence", "p = 0.0600 after Holm correction")  # as the claim says


@pytest.mark.parametrize(("classes", "shown", "others"), [("one", "the class", "the class name"),
                                                        ("several", "the objects", "look-alike pictures")])
def test_cards_name_the_claims_as_the_claim_itself_does(classes, shown, others):
    from report.sections import verdict_cards

    verdict = {"holds": True, "difference": 0.03, "low": 0.01, "high": 0.06, "p": 0.01}
    study = {"verdicts": dict.fromkeys(("class", "beyond_class"), verdict), "doubts": [], "classes_a_picture": classes,
             "beyond": others}
    headings = [card["heading"] for card in verdict_cards(study, 0.05)]
    assert headings == [f"Captions carry {shown}", f"The EEG adds information beyond {others}"]


def test_pictures_that_the_split_repeats_by_design_are_no_severe_finding():
    from report.sections import warnings

    study = {"name": "a.csv", "pictures": 4, "verdicts": {"class": {}}, "provenance": {"trained_on": 3, "allowed": True}}
    severities = [warnings(study, {"trained_on": ["a", "b", "c"], "repeated": repeated})[0][0] for repeated in (3, 0)]
    assert severities == ["warning", "severe"]
