"""evaluate.py from its command line to its table, JSON, CSV and chart."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import evaluate
from caption_rows import rows
from metrics import wordnet
from metrics.caption_files import COLUMNS, read_captions
from metrics.text import METRICS, caption_scores

PUBLISHED = Path(__file__).parents[2] / "shared/data/captions/vtccc_deepseek_eeg_model_7B_base_results.csv"
FAST = ["--metrics", "BLEU", "BLEU-1", "ROUGE-1", "--n_boot", "200", "--n_perm", "500"]


@pytest.fixture
def results(tmp_path):
    """Three conditions as inference.py and inference_chance.py write them."""
    for condition, right in (("eeg+label", 0.9), ("noise", 0.2), ("oracle_label", 1.0)):
        rows(condition, right=right).to_csv(tmp_path / f"llm_{condition}.csv", index=False)
    return tmp_path


def run(*argv):
    evaluate.main([str(word) for word in argv])


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        run(*argv)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_many_files_to_table_json_csv_and_chart(results, capsys):
    run(*sorted(results.glob("*.csv")), "--json", results / "s.json", "--csv", results / "out" / "s.csv",
        "--chart", results / "s.png", *FAST)
    content = json.loads((results / "s.json").read_text())
    assert list(content) == ["llm_eeg+label.csv", "llm_noise.csv", "shuffled (llm_eeg+label.csv)",
                             "shuffled_within_class (llm_eeg+label.csv)", "llm_oracle_label.csv"]
    model, noise = content["llm_eeg+label.csv"], content["llm_noise.csv"]
    assert set(model) == {"n", "BLEU", "BLEU-1", "ROUGE-1", "Object accuracy", "95%", "condition", "corpus"}
    assert (model["n"], model["condition"]) == (36, "eeg+label")
    table = rows("noise", right=0.2)
    direct = caption_scores(table["Generated Caption"].tolist(), table["Expected Caption"].tolist(),
                            metrics=["BLEU-1"])["BLEU-1"]
    assert noise["BLEU-1"] == pytest.approx(direct.mean())
    assert content["llm_oracle_label.csv"]["Object accuracy"] == 1.0
    for entry in content.values():
        for metric, (low, high) in entry["95%"].items():
            assert low - 1e-9 <= entry[metric] <= high + 1e-9
    assert noise["against"]["file"] == "llm_eeg+label.csv"
    assert noise["against"]["ROUGE-1"]["difference"] == pytest.approx(noise["ROUGE-1"] - model["ROUGE-1"])
    assert noise["against"]["ROUGE-1"]["p"] < 0.05 < content["llm_oracle_label.csv"]["against"]["ROUGE-1"]["p"]

    written = pd.read_csv(results / "out" / "s.csv").set_index("file")
    assert written.loc["llm_noise.csv", "BLEU-1"] == pytest.approx(noise["BLEU-1"])
    assert written.loc["llm_noise.csv", "BLEU-1 95% high"] == pytest.approx(noise["95%"]["BLEU-1"][1])
    assert written.loc["llm_noise.csv", "BLEU-1 p"] == pytest.approx(noise["against"]["BLEU-1"]["p"])
    assert (results / "s.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    printed = capsys.readouterr().out
    assert "llm_noise.csv (noise)" in printed and "reference of the differences and p: llm_eeg+label.csv" in printed
    assert f"{noise['BLEU-1']:.3f}"[1:] in printed and f"{noise['against']['BLEU-1']['p']:.4f}"[1:] in printed


def test_a_constant_sentence_is_at_chance_in_every_table(tmp_path, capsys):
    """With unequal numbers of trials, and two pictures of one class that share a caption."""
    sentences = {"eeg+label": " A dog stands on number 0. ", "noise": "A dog stands there."}
    for condition, sentence in sentences.items():
        table = rows(condition, n_pictures=16, people=8).assign(**{"Generated Caption": sentence})
        table.loc[table["image"] == 4, "Expected Caption"] = " A dog stands on number 0. "
        table[table["subject"] <= 8 - table["image"] / 2].to_csv(tmp_path / f"{condition}.csv", index=False)
    run(*sorted(tmp_path.glob("*.csv")), "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--report", tmp_path,
        "--metrics", "n-way", "ROUGE-1", "--n_boot", "1000", "--n_perm", "1000", "--all")
    content, table = json.loads((tmp_path / "s.json").read_text()), pd.read_csv(tmp_path / "s.csv").set_index("file")
    report = json.loads((tmp_path / "results.json").read_text())["studies"][0]["conditions"]
    shown = {entry["source"]: entry["scores"] for entry in report}
    for metric in ("2-way (text)", "2-way in class (text)"):
        for key in ("eeg+label.csv", "noise.csv"):
            half = pytest.approx(1 / 2, rel=1e-12)
            assert content[key][metric] == table.loc[key, metric] == shown[key][metric]["mean"] == half
            low, high = content[key]["95%"][metric]
            assert low - 1e-9 <= 0.5 <= high + 1e-9 and [shown[key][metric][end] for end in ("low", "high")] == [low, high]
        against = content["noise.csv"]["against"][metric]
        assert against["difference"] == pytest.approx(0, abs=1e-12) and against["p"] > 0.05
    assert capsys.readouterr().out.count("  .500") >= 4


def test_true_captions_without_words_have_no_length_ratio(tmp_path):
    rows("eeg+label").assign(**{"Expected Caption": "\N{DOG FACE}"}).to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", "--json", tmp_path / "s.json", "--report", tmp_path, *FAST)

    def read(name):
        return json.loads((tmp_path / name).read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    shown = [read("s.json")["a.csv"], *read("results.json")["studies"][0]["conditions"]]
    assert {entry["corpus"]["length ratio"] for entry in shown} == {None}


def test_intervals_draw_whole_pictures(tmp_path):
    table = rows("eeg", n_pictures=20, people=10, right=1.0)
    wrong = table["image"] % 5 == 0  # the same pictures go wrong for everybody
    table.loc[wrong, "Predicted object"] = "nothing"
    table.to_csv(tmp_path / "a.csv", index=False)
    table.assign(image=range(len(table))).to_csv(tmp_path / "b.csv", index=False)
    run(tmp_path / "a.csv", tmp_path / "b.csv", "--json", tmp_path / "s.json", "--metrics", "BLEU-1")
    by_picture, by_row = (json.loads((tmp_path / "s.json").read_text())[name]["95%"]["Object accuracy"]
                          for name in ("a.csv", "b.csv"))
    expected = scipy.stats.bootstrap((np.arange(20) % 5 != 0,), np.mean, method="percentile",
                                     rng=0).confidence_interval
    assert by_picture == pytest.approx(list(expected), abs=0.051)  # one picture more or less
    assert by_row[1] - by_row[0] < 0.5 * (by_picture[1] - by_picture[0])


def test_rows_are_paired_by_trial_whatever_their_order(results, capsys):
    run(*sorted(results.glob("*.csv")), "--json", results / "before.json", *FAST)
    noise = pd.read_csv(results / "llm_noise.csv")
    noise.sample(frac=1, random_state=3).to_csv(results / "llm_noise.csv", index=False)
    run(*sorted(results.glob("*.csv")), "--json", results / "after.json", *FAST)
    before, after = (json.loads((results / name).read_text())["llm_noise.csv"]["against"]["ROUGE-1"]
                     for name in ("before.json", "after.json"))
    assert after["difference"] == pytest.approx(before["difference"])
    noise.iloc[:30].to_csv(results / "llm_noise.csv", index=False)
    capsys.readouterr()
    run(*sorted(results.glob("*.csv")), *FAST)
    assert "llm_noise.csv: compared on the 30 trials that llm_eeg+label.csv also holds" in capsys.readouterr().out


def test_compare_to_a_condition_a_name_and_a_path(results, tmp_path):
    files = sorted(results.glob("*.csv"))
    for wanted in ("noise", "llm_noise.csv", results / "llm_noise.csv"):
        run(*files, "--compare_to", wanted, "--json", tmp_path / "s.json", *FAST)
        content = json.loads((tmp_path / "s.json").read_text())
        assert content["llm_eeg+label.csv"]["against"]["file"] == "llm_noise.csv"
        assert "against" not in content["llm_noise.csv"]
    run(files[0], "--compare_to", results / "llm_noise.csv", "--json", tmp_path / "s.json", *FAST)
    assert [name for name in json.loads((tmp_path / "s.json").read_text()) if "shuffled" not in name] == [
        "llm_eeg+label.csv", "llm_noise.csv"]


def test_compare_to_a_file_from_which_controls_were_made(tmp_path):
    for name, right in (("one.csv", .9), ("two.csv", .3)):
        rows(right=right).to_csv(tmp_path / name, index=False)
    for wanted in ("one.csv", tmp_path / "one.csv"):
        run(tmp_path / "one.csv", tmp_path / "two.csv", "--compare_to", wanted, "--json", tmp_path / "s.json", *FAST)
        content = json.loads((tmp_path / "s.json").read_text())
        assert "against" not in content["one.csv"] and len(content) > 2
        assert {entry["against"]["file"] for key, entry in content.items() if key != "one.csv"} == {"one.csv"}


@pytest.mark.parametrize(("option", "said"), [
    (["--subject", "3"], "--subject: has no effect without --eeg_dataset"),
    (["--splits_path", "s.pth"], "--splits_path: has no effect without --eeg_dataset"),
    (["--time_low", "20"], "--time_low: has no effect without --eeg_dataset"),
    (["--bertscore_layers", "3"], "--bertscore_layers: has no effect without --bertscore_model"),
    (["--title", "Ours"], "--title: has no effect without --report"),
    (["--beside", "results.json"], "--beside: has no effect without --report"),
    (["--spice"], "--spice: has no effect with --protocol ours"),
    (["--protocol", "coco", "--metrics", "CIDEr", "chrF"], "--metrics chrF: not among the scores of --protocol coco")])
def test_an_option_that_would_be_ignored_is_refused(tmp_path, capsys, option, said):
    rows().to_csv(tmp_path / "a.csv", index=False)
    assert said in refused(capsys, tmp_path / "a.csv", *option)


def test_compare_to_what_is_not_there(results, capsys):
    files = sorted(results.glob("*.csv"))
    assert "llm_noise.csv (noise)" in refused(capsys, *files, "--compare_to", "image", *FAST)
    rows("noise").to_csv(results / "other.csv", index=False)
    assert "2 of the files match" in refused(capsys, *sorted(results.glob("*.csv")), "--compare_to", "noise", *FAST)


def test_files_of_other_pictures_are_not_compared(results, capsys):
    other = rows("noise")
    other["Ground Truth Image"] = "images/x/x_1.JPEG"
    other.to_csv(results / "llm_noise.csv", index=False)
    files = sorted(results.glob("*.csv"))
    assert "do not hold the same trials" in refused(capsys, *files, "--compare_to", "eeg+label", *FAST)
    run(*files, "--json", results / "s.json", *FAST)  # not asked for: told, and left out
    assert "llm_noise.csv: not compared" in capsys.readouterr().out
    content = json.loads((results / "s.json").read_text())
    assert "against" not in content["llm_noise.csv"] and "against" in content["llm_oracle_label.csv"]
    pd.concat([other, other]).to_csv(results / "llm_noise.csv", index=False)
    assert "is in several rows" in refused(capsys, *files, "--compare_to", "eeg+label", *FAST)


def test_the_predecessors_columns(tmp_path, capsys):
    rows(right=0.9).to_csv(tmp_path / "a.csv")  # with an unnamed index column first
    rows(right=0.3).to_csv(tmp_path / "b.csv", index=False)
    run(tmp_path / "a.csv", tmp_path / "b.csv", "--compare_to", "a.csv", "--json", tmp_path / "s.json", *FAST)
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["a.csv"]["condition"] is None
    assert content["b.csv"]["against"]["BLEU-1"]["difference"] < 0
    rows(right=0.3).iloc[:-1].to_csv(tmp_path / "b.csv", index=False)
    assert "cannot be paired" in refused(capsys, tmp_path / "a.csv", tmp_path / "b.csv", "--compare_to", "a.csv", *FAST)


@pytest.mark.slow
def test_published_scores(tmp_path, capsys):
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is absent")
    metrics = METRICS if wordnet.is_available() else METRICS[:-1]
    run(PUBLISHED, "--protocol", "thought2text", "--json", tmp_path / "s.json", "--n_boot", 100, "--metrics", *metrics)
    entry = json.loads((tmp_path / "s.json").read_text())[PUBLISHED.name]
    published = {"BLEU": 0.033, "BLEU-1": 0.168, "ROUGE-1": 0.262, "ROUGE-2": 0.047, "ROUGE-L": 0.244, "METEOR": 0.182}
    assert {metric: round(entry[metric], 3) for metric in published if metric in entry} == {
        metric: value for metric, value in published.items() if metric in metrics}
    assert entry["n"] == 1987
    assert "captions cleaned: deepseek" in capsys.readouterr().out


def test_same_file_name_in_two_folders(tmp_path, capsys):
    for folder in ("snr0/results", "snr1/results"):
        (tmp_path / folder).mkdir(parents=True)
        rows("eeg").to_csv(tmp_path / folder / "a.csv", index=False)
    files = sorted(tmp_path.rglob("a.csv"))
    run(*files, "--json", tmp_path / "s.json", *FAST)
    assert list(json.loads((tmp_path / "s.json").read_text())) == ["snr0/results/a.csv", "snr1/results/a.csv"]
    assert "given twice" in refused(capsys, files[0], files[0], *FAST)


@pytest.mark.parametrize(("times", "told"), [
    ((10, 20), "Claims rest on second.csv, which is newer."),
    ((10, 10), "Claims rest on first.csv, which was given first; both were last changed at the same time."),
])
def test_of_two_files_of_a_condition_the_reason_for_the_choice_is_true(tmp_path, capsys, times, told):
    """Files of an archive often have one time for all."""
    for name, time in zip(("first.csv", "second.csv"), times, strict=True):
        rows("eeg+label").to_csv(tmp_path / name, index=False)
        os.utime(tmp_path / name, (time, time))
    run(tmp_path / "first.csv", tmp_path / "second.csv", *FAST)
    assert told in capsys.readouterr().out


def test_empty_captions_and_objects_are_counted(tmp_path, capsys):
    table = rows("eeg")
    full = caption_scores(table["Generated Caption"].tolist(), table["Expected Caption"].tolist(), metrics=["BLEU-1"])
    table.loc[:8, "Generated Caption"] = [np.nan, "", "  "] * 3
    table["Predicted object"] = ""
    table.to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", "--json", tmp_path / "s.json", *FAST)
    printed = capsys.readouterr().out
    assert "9 of 36 generated captions are empty and score 0 by their words\n" in printed
    assert "no predicted objects" in printed
    entry = json.loads((tmp_path / "s.json").read_text())["a.csv"]
    assert "Object accuracy" not in entry
    assert entry["BLEU-1"] == pytest.approx(full["BLEU-1"][9:].sum() / 36)


def test_the_objects_that_are_missing_are_named(tmp_path, capsys):
    rows("eeg").assign(**{"Expected object": ""}).to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", *FAST)
    assert "a.csv: no expected objects, so no object accuracy\n" in capsys.readouterr().out


def test_empty_captions_are_at_chance_in_n_way_and_the_note_says_so(tmp_path, capsys):
    rows("eeg").assign(**{"Generated Caption": ""}).to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", "--json", tmp_path / "s.json", *FAST, "--metrics", "n-way")
    told = "36 of 36 generated captions are empty and score 0 by their words and chance in n-way (text)\n"
    assert told in capsys.readouterr().out
    entry = json.loads((tmp_path / "s.json").read_text())["a.csv"]
    assert (entry["ROUGE-1"], entry["2-way (text)"]) == (0, pytest.approx(0.5))


def test_results_beside_that_were_cleaned_in_another_way_are_said(tmp_path):
    """The same captions had .461 and .653, and nothing on the page said why."""
    table = rows("eeg+label")
    table["Generated Caption"] += " It is nice. Very nice."
    table.to_csv(tmp_path / "a.csv", index=False)
    quick = [tmp_path / "a.csv", "--metrics", "ROUGE-1", "--n_boot", "20", "--n_perm", "20"]
    run(*quick, "--report", tmp_path / "first")
    run(*quick, "--report", tmp_path / "same", "--beside", tmp_path / "first" / "results.json", "--cleaning", "none")
    run(*quick, "--report", tmp_path / "other", "--beside", tmp_path / "same" / "results.json", "--cleaning",
        "first_sentence")
    same, other = ((tmp_path / name / "report.html").read_text() for name in ("same", "other"))
    assert "cleaned in another way (--cleaning: none; here: first_sentence)" in other and "another way" not in same


def test_another_cleaning_that_the_protocol_chose_is_said(tmp_path):
    """A system turn in one of the captions decides for all of them."""
    table = rows("eeg+label")
    table.to_csv(tmp_path / "a.csv", index=False)
    quick = [tmp_path / "a.csv", "--metrics", "ROUGE-1", "--n_boot", "20", "--n_perm", "20", "--protocol", "thought2text"]
    run(*quick, "--report", tmp_path / "first")
    run(*quick, "--report", tmp_path / "same", "--beside", tmp_path / "first" / "results.json")
    table.loc[0, "Generated Caption"] = "<s>System: A dog.</s>"
    table.to_csv(tmp_path / "a.csv", index=False)
    run(*quick, "--report", tmp_path / "other", "--beside", tmp_path / "first" / "results.json")
    same, other = ((tmp_path / name / "report.html").read_text() for name in ("same", "other"))
    assert "cleaned in another way (--cleaning: first_sentence; here: deepseek)" in other and "another way" not in same


def test_studies_that_have_none_beside_are_named(tmp_path):
    """A file is named by its folder, too, once another of the same name is given, and then no scores stood beside it."""
    quick = ["--metrics", "ROUGE-1", "--n_boot", "20", "--n_perm", "20"]
    for name in ("k", "l"):
        (tmp_path / name).mkdir()
        rows("eeg+label").to_csv(tmp_path / name / "a.csv", index=False)
    run(tmp_path / "k" / "a.csv", *quick, "--report", tmp_path / "one")
    beside = ("--beside", tmp_path / "one" / "results.json")
    for name, files in (("alone", ["k"]), ("both", ["k", "l"])):
        run(*(tmp_path / file / "a.csv" for file in files), *quick, *beside, "--report", tmp_path / name)
    alone, both = ((tmp_path / name / "report.html").read_text() for name in ("alone", "both"))
    assert "It has no study named k/a.csv or l/a.csv, so no scores of it are shown beside those studies." in both
    assert "It has no study named" not in alone and "These results and" in alone


def test_a_class_name_without_letters_is_refused_with_its_file(tmp_path, capsys):
    rows("eeg").assign(**{"Expected object": "???"}).to_csv(tmp_path / "a.csv", index=False)
    told = refused(capsys, tmp_path / "a.csv", "--metrics", "Object-word recall")
    assert f"{tmp_path / 'a.csv'}: 36 expected objects hold no letter and no digit, the first, '???', in row 0" in told
    assert "name --metrics without Object-word recall" in told
    run(tmp_path / "a.csv", *FAST)


def test_rows_without_an_object_do_not_count_as_named_right(tmp_path, capsys):
    """A row in which both names are empty counted as right."""
    table = rows("eeg")
    table.loc[:5, ["Expected object", "Predicted object"]] = ""
    table.to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", "--json", tmp_path / "s.json", *FAST)
    assert "6 of 36 rows lack the expected object" in capsys.readouterr().out
    assert "Object accuracy" not in json.loads((tmp_path / "s.json").read_text())["a.csv"]


def test_one_picture_has_no_interval(tmp_path):
    rows("eeg").iloc[:1].to_csv(tmp_path / "a.csv", index=False)
    run(tmp_path / "a.csv", "--json", tmp_path / "s.json", "--chart", tmp_path / "s.svg", *FAST)
    assert json.loads((tmp_path / "s.json").read_text())["a.csv"]["95%"]["BLEU"] == [None, None]


def test_the_same_seed_gives_the_same_numbers(results):
    files = sorted(results.glob("*.csv"))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(*files, "--json", results / f"{name}.json", "--seed", seed, *FAST)
    a, b, c = ((results / f"{name}.json").read_text() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("content, said", [
    (b"", "not readable as CSV"), (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "not readable as CSV"),
    (b"a,b\n1,2\n", "columns Ground Truth Image, Expected object"),
    (",".join(COLUMNS).encode(), "no rows below the header"),
    (b'a,b\n"1,2\n3,4,5\n', "not readable as CSV"),
])
def test_bad_files(tmp_path, capsys, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    message = refused(capsys, tmp_path / "a.csv", *FAST)
    assert said in message and "a.csv" in message


def test_other_bad_input(results, capsys):
    file = results / "llm_noise.csv"
    assert "not found" in refused(capsys, results / "nothing.csv", *FAST)
    assert "invalid choice: 'theirs'" in refused(capsys, file, "--protocol", "theirs")
    assert "invalid choice: 'SPICE'" in refused(capsys, file, "--metrics", "SPICE")
    assert ".png" in refused(capsys, file, "--chart", results / "s.txt", *FAST)
    assert "out of range" in refused(capsys, file, "--n_boot", "0")
    mixed = pd.concat([rows("eeg"), rows("noise")])
    mixed.to_csv(file, index=False)
    assert "conditions eeg, noise" in refused(capsys, file, *FAST)
    rows("eeg").assign(**{"Expected Caption": ""}).to_csv(file, index=False)
    message = refused(capsys, file, "--json", results / "s.json", *FAST)
    assert "36 true captions are empty" in message and "llm_noise.csv" in message
    assert not (results / "s.json").exists()


@pytest.mark.parametrize("change, said", [
    ({"condition": "eeg label"}, "condition 'eeg label'; expected one of eeg+label"),
    ({"model": ["a"] * 30 + [""] * 6},
     "rows of models a, (none); expected one model in a file; rows without any may be cut"),
    ({"probability": ["0.5"] * 35 + ["high"]}, "row 35 has probability 'high'"),
    ({"probability": "1.5"}, "probability '1.5'"), ({COLUMNS[0]: " ", "image": ""}, "row 0 names no picture"),
    ({"probability": "nan"}, "probability 'nan'"), ({"trial": 7}, "trial '7' is in several rows"),
])
def test_what_inference_does_not_write(tmp_path, capsys, change, said):
    rows("eeg").assign(**change).to_csv(tmp_path / "a.csv", index=False)
    message = refused(capsys, tmp_path / "a.csv", *FAST, "--report", tmp_path / "report")
    assert said in message and "a.csv" in message and not (tmp_path / "report").exists()


@pytest.mark.parametrize("key, value", [("options", []), ("trained_on", 5), ("split_num", "0"), ("model_path", None),
                                        ("data", {}), ("splits", 1)])
def test_damaged_records(results, capsys, key, value):
    record = {"format": "eeg-to-text captions 1", "condition": "noise", key: value}
    (results / "llm_noise.csv.json").write_text(json.dumps(record))
    message = refused(capsys, results / "llm_noise.csv", *FAST)
    assert f"llm_noise.csv.json: {key}" in message and "write the captions again" in message


def test_scores_of_another_protocol_are_not_shown_beside(results, capsys):
    given = results / "llm_noise.csv", "--report", results / "r", *FAST
    run(*given)
    message = refused(capsys, *given, "--beside", results / "r" / "results.json", "--protocol", "thought2text")
    assert "its scores are those of --protocol ours" in message
    run(*given, "--beside", results / "r" / "results.json")


def test_outputs_are_checked_before_the_work(results, capsys):
    (results / "file").write_text("x")
    file = results / "llm_noise.csv"
    for flag, name in (("--report", "r"), ("--json", "s.json"), ("--csv", "s.csv"), ("--chart", "c.png")):
        name = f"file/{name}"
        assert f"{flag} {results}/{name}: {results}/file is no folder" in refused(capsys, file, flag, results / name, *FAST)
    for flag, name in (("--json", "results.json"), ("--json", "audit.json"), ("--csv", "table.tex")):
        message = refused(capsys, file, "--report", results / "r", flag, results / "r" / name, *FAST)
        assert f"{flag} {results}/r/{name}: is also an input or another output" in message
    (results / "link.json").symlink_to(f"{file}.json")
    for name in (f"{file.name}.json", "link.json"):  # the record of the captions would be lost
        assert "is also an input or another output" in refused(capsys, file, "--json", results / name, *FAST)
    (results / "other.json").write_text('{"format": "x"}')
    assert "is also an input" in refused(capsys, file, "--report", results / "r", "--beside", results / "other.json",
                                         "--json", results / "other.json", *FAST)
    message = refused(capsys, file, "--report", results / "r", "--beside", results / "other.json", "--json",
                      results / "s.json", *FAST)
    assert "--beside" in message and not (results / "s.json").exists() and not (results / "r").exists()
    assert "without --report" in refused(capsys, file, "--beside", results / "other.json", *FAST)


def test_a_negative_score_has_a_bar(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    from evaluation.score_chart import write_chart
    from metrics.caption_files import Captions

    scores = pd.DataFrame({"cosine": [-.2] * 36, "F": [.5] * 36})
    file = Captions(tmp_path / "a.csv", rows(), None, key="a.csv", scores=scores,
                    interval={"cosine": (-.3, -.1), "F": (.4, .6)})
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).write_text(str(
        [float(panel.get_xlim()[0]) for panel in figure.axes if panel.get_visible()])))
    write_chart(tmp_path / "c.png", [file], ["EEG"])
    cosine, positive = json.loads((tmp_path / "c.png").read_text())
    assert cosine <= -.3 and positive == 0


def test_chart_of_many_files(tmp_path):
    for i in range(10):
        rows("eeg" if i else "eeg+label", right=i / 10, seed=i).to_csv(tmp_path / f"model_{i}.csv", index=False)
    run(*sorted(tmp_path.glob("*.csv")), "--chart", tmp_path / "s.svg", *FAST)
    drawing = (tmp_path / "s.svg").read_text()
    assert "eeg+label" in drawing and all(f"model_{i}.csv" in drawing for i in range(1, 10))


def test_whole_numbers_are_the_same_however_pandas_wrote_them(tmp_path):
    table = rows("eeg+label").astype({"subject": object, "trial": object})
    table.loc[::2, ["subject", "trial"]] = table.loc[::2, ["subject", "trial"]].astype(float)
    table.to_csv(tmp_path / "a.csv", index=False)
    assert "1.0" in (tmp_path / "a.csv").read_text()
    read = read_captions(tmp_path / "a.csv")
    assert set(read.people) == {"0", "1", "2"} and read.texts("trial") == [str(100 + row) for row in range(36)]


def test_a_json_file_is_no_damaged_table(results, capsys):
    """results/* also finds the records beside the captions; they were said to be damaged CSVs."""
    record = results / "llm_noise.csv.json"
    record.write_text("{}")
    assert f"{record}: is a JSON file" in (said := refused(capsys, record)) and f"give {results / 'llm_noise.csv'}" in said
    (results / "results.json").write_text("{}")
    assert "beside which" not in refused(capsys, results / "results.json")
