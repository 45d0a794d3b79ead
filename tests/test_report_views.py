"""What people see of the report: the grid, plain words, the order of headings, colours, and the page in Chromium."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from evaluation.encoder_scores import write_object_tables, write_tables
from evaluation.score_chart import condition_colours
from metrics.conditions import NAMES
from report.charts import colour_of
from report.confusion import confusion
from report.grid import draw_rows
from report.index import index
from report.plain_words import plain_words
from report_material import make_results, make_run, page_of, section

DEUTERANOPIA = np.array([[.367322, .860646, -.227968], [.280085, .672501, .047413], [-.011820, .042940, .968881]])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with its report."""
    folder = make_run(tmp_path_factory.mktemp("run") / "demo")
    page_of(folder)
    return folder


@pytest.fixture
def page(run):
    return (run / "report" / "report.html").read_text(encoding="utf-8")


def test_rows_are_drawn_across_people_and_not_by_score():
    people = [person for person in "abc" for _ in range(10)]
    pictures = [f"p{number}" for _ in "abc" for number in range(10)]
    rows = draw_rows(people, pictures, 6)
    turns = [people[row] for row in rows]
    assert sorted(turns[:3]) == ["a", "b", "c"] and turns[3:] == turns[:3]
    assert len({pictures[row] for row in rows}) == 6 and rows == draw_rows(people, pictures, 6)
    assert {people[row] for seed in range(20) for row in draw_rows(people, pictures, 1, seed)} == set(people)
    assert len(draw_rows(None, pictures, 4)) == 4 and sorted(draw_rows(["a"] * 2, ["p", "p"], 5)) == [0, 1]


def test_the_grid_stands_directly_under_the_claim(run, page):
    after = page.split('class="claim"')[1]
    assert after.index('<table class="grid"') < after.index("<ul") and after.index("<nav") < after.index("What was tested")
    table = pd.read_csv(run / "results" / "captions.csv", dtype=str)
    control = pd.read_csv(run / "results" / "captions_shuffled_within_class.csv", dtype=str)
    shown = page.split('<table class="grid"')[1].split("</table>")[0]
    assert shown.count("<img") == 5 and len(set(re.findall(r"subject (\d)", shown))) == 3
    for true, generated, other in re.findall(
            r'data-name="true" dir="auto">(.*?)</td>.*?class="generated">(.*?)</td>.*?dir="auto">(.*?)</td>', shown):
        row = table[(table["Expected Caption"] == true) & (table["Generated Caption"] == generated)]
        assert len(row) and other in set(control["Generated Caption"])


def test_headings_leave_out_no_level(page):
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_contents_bar_leads_to_what_is_there(page):
    links = re.findall(r'href="#([^"]+)"', page.split('<nav aria-label="Contents">')[1].split("</nav>")[0])
    assert {"s0-tested", "s0-scores", "s0-evoked", "s0-encoder", "s0-options", "meanings"} <= set(links)
    assert all(f'id="{link}"' in page for link in links)


def test_evoked_responses_are_in_microvolts(page):
    shown = section(page, "evoked")
    assert shown.count("<svg") == 2 and "µV" in shown and re.search(r"strongest at [\d, ]*120\b", shown)


def test_the_confusion_matrix_is_a_table(run, page):
    found = confusion(run / "eeg_encoder" / "test" / "confusion_matrix.csv")
    assert found["classes"] == ["ball", "house", "tree", "star"] and found["rows"][0] == ("ball", [78, 22, 0, 0])
    assert '<td style="--share: 78%" class="much">78</td>' in section(page, "encoder")


def test_class_names_that_are_formulas_are_none_in_the_confusion_matrix_and_come_back(tmp_path):
    names, labels = {0: "=1+1", 1: "-x", 2: "\uff1d1"}, np.array([0, 1, 2])
    write_tables(tmp_path, labels, np.eye(3), labels, names)
    lines = (tmp_path / "confusion_matrix.csv").read_text().splitlines()
    assert lines[0] == "true,'=1+1,'-x,'\uff1d1" and lines[1].startswith("'=1+1,")
    found = confusion(tmp_path / "confusion_matrix.csv")
    assert found["classes"] == list(names.values()) == [name for name, _ in found["rows"]]


def test_an_encoder_without_classes_keeps_no_confusion_matrix_of_the_one_before_it(tmp_path):
    labels, retrieval = np.array([0, 1]), [{"repetitions": 1, "top1": 1.}]
    write_tables(tmp_path, labels, np.eye(2), labels, {0: "cat", 1: "dog"})
    write_object_tables(tmp_path, np.zeros((2, 0)), np.zeros((2, 0)), labels, {}, retrieval)
    assert [file.name for file in tmp_path.iterdir()] == ["retrieval.csv"]
    write_tables(tmp_path, labels, np.eye(2), labels, {0: "cat", 1: "dog"})
    assert len(list(tmp_path.iterdir())) == 4 and not (tmp_path / "retrieval.csv").exists()


def verdicts(**holds):
    return {"verdicts": {key: {"holds": holds.get(key)} for key in ("anything", "beyond_class", "better_than_nothing")},
            "eeg": {"simulated": holds.get("simulated"), "people": 3}, "doubts": []}


def test_plain_words_say_no_more_than_the_verdicts():
    words = " ".join(plain_words(verdicts(anything=True, beyond_class=False, better_than_nothing=False), "ROUGE-1"))
    assert "the EEG of 3 people" in words and "not shown that they tell more than the kind of thing" in words
    assert "do not fit" not in words  # of two pictures a gain of any size has p = 1
    assert "were not shown to be better" in words and "Nobody was recorded" not in words
    words = " ".join(plain_words(verdicts(anything=False, simulated=True), "ROUGE-1"))
    assert words.startswith("This EEG was computed with a model of the head. Nobody was recorded")
    assert "not shown that the sentences fit their own" in words and "of the same class" not in words
    assert plain_words({"verdicts": {}}, "ROUGE-1") == []


def test_plain_words_do_not_deny_what_the_claim_says_beyond_the_class():
    words = " ".join(plain_words(verdicts(anything=False, beyond_class=True, better_than_nothing=False), "ROUGE-1"))
    assert "Among pictures of the same class the sentences fit their own better than the others" in words
    assert "tell anything of what was shown" not in words


def test_the_index_names_what_is_there(run):
    text = (run / "report" / "index.md").read_text()
    linked = re.findall(r"\| \[(.*?)\]\((.*?)\)", text)
    assert [name for name, _ in linked] == [place for _, place in linked] == [
        "report.html", "results.json", "table.tex", "audit.json"]
    assert all((run / "report" / name).exists() for name, _ in linked) and "adds +0.123 ROUGE-1" in text
    assert "link](" not in index(run, "a [link](http://x)", ["class [link](http://x)"], [])
    assert index(run, "T", [], []).count("| [") == 6  # of the run: data, results, encoder, captioner and what is in them


def test_several_seeds_have_a_table(tmp_path):
    run = make_run(tmp_path / "run", pictures=8, subjects=2)
    results = make_results(run)
    results["seeds"] = [{"name": "runs/captioner", "seeds": [0, 1, 2], "text": "it adds in 2 of 3", "conditions": [
        {"condition": "eeg+label", "kind": "model", "scores": {"ROUGE-1": {"mean": .5, "sd": .0123}}}]}]
    shown = page_of(run, results, examples=0).split('id="seeds"')[1].split("</section>")[0]
    assert "0.500 (0.012)" in shown and "in 2 of 3" in shown


def lightness(colour):
    """CIE L* (0 to 100) of a colour as people with deuteranopia see it (Machado, Oliveira and Fernandes 2009), and whether
    it looks blue."""
    rgb = np.clip(DEUTERANOPIA @ np.array(to_rgb(colour)), 0, 1)
    linear = np.where(rgb <= .04045, rgb / 12.92, ((rgb + .055) / 1.055) ** 2.4)
    y = linear @ [.2126, .7152, .0722]
    return 116 * np.cbrt(y) - 16, rgb[2] > rgb[0] + .15


def test_kinds_are_told_apart_without_red_and_green():
    seen = {kind: lightness(colour_of(kind)) for kind in ("model", "control", "baseline", "knows")}
    assert [blue for _, blue in seen.values()] == [True, False, False, False]
    light = sorted(value for kind, (value, _) in seen.items() if kind != "model")
    assert np.diff(light).min() > 12  # a difference of 10 is seen at once


def test_each_condition_has_a_colour_of_its_own():
    colours = condition_colours()
    assert set(colours) == set(NAMES) and len(set(colours.values())) == len(NAMES)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_window(run, browser, width, scheme):
    view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    view.goto((run / "report" / "report.html").as_uri())
    assert view.evaluate("document.documentElement.scrollWidth") == width
    first, names = view.evaluate("""() => [...document.querySelectorAll("table.scores")].slice(0, 1).map(table => [
        table.querySelector("tbody tr:not(.group) th").getBoundingClientRect().width,
        table.parentElement.getBoundingClientRect().width])[0]""")
    assert first < names / 2.5  # the column that stays in place leaves room for the others
    lightest = view.evaluate("""() => [...document.querySelectorAll("table.confusion td")].map(cell =>
        getComputedStyle(cell).backgroundColor)""")
    assert len(set(lightest)) > 2
    view.close()


def test_the_page_prints_whole_and_short(run, browser):
    view = browser.new_page(viewport={"width": 794, "height": 1123})  # A4 at 96 dpi
    view.goto((run / "report" / "report.html").as_uri())
    view.emulate_media(media="print")
    too_wide = view.evaluate("""() => [...document.querySelectorAll("table")].filter(
        table => table.innerText && table.getBoundingClientRect().right > innerWidth + 1
    ).map(table => table.innerText.slice(0, 60))""")
    assert too_wide == []
    pages = len(re.findall(rb"/Type\s*/Page\b", view.pdf(format="A4")))
    assert 3 <= pages <= 12
    view.close()


def test_the_page_does_not_say_that_examples_repeat_no_picture_where_they_must(page):
    assert "shows a picture only once as long as others are left." in page
