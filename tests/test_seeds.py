"""evaluate.py over seeds: mean and standard deviation of models that differ in nothing but the seed of their training."""

import statistics

import pytest

from evaluation import terminal
from evaluation.seeds import over_seeds


def study(place, mean, holds=True, prompt="basic", classes="one", **more):
    conditions = [{"condition": name, "kind": "model", "scores": {"ROUGE-1": {"mean": value}, "METEOR": {"mean": None}}}
                  for name, value in ({"eeg+label": mean} | more).items()]
    return {"name": place, "provenance": {"model_path": place}, "prompt": prompt, "split": "test", "conditions": conditions,
            "verdicts": {"beyond_class": {"holds": holds}},
            "beyond": "the class name" if classes == "one" else "look-alike pictures"}


def test_mean_and_sd_over_seeds():
    means = [.5, .53, .47]
    studies = [study(f"runs/captioner/seed{seed}", mean, holds=seed != 2, **({"noise": mean / 2} if seed else {}))
               for seed, mean in enumerate(means)]
    (found,) = over_seeds([*studies, study("runs/other", .9), study("runs/alone/seed0", .9), study("x/seedy", .9)])
    assert (found["name"], found["seeds"], found["beyond_class"]) == ("runs/captioner", [0, 1, 2], 2)
    (entry,) = found["conditions"]  # noise is missing for one of the seeds
    assert set(entry["scores"]) == {"ROUGE-1"}
    assert entry["scores"]["ROUGE-1"] == {"mean": pytest.approx(statistics.mean(means)),
                                          "sd": pytest.approx(statistics.stdev(means))}


def test_what_could_not_be_tested_is_not_told_as_a_no():
    def said(*holds, classes="one"):
        studies = [study(f"c/seed{seed}", .5, held, classes=classes) for seed, held in enumerate(holds)]
        return over_seeds(studies)[0]["text"]

    assert said(True, False) == "the EEG adds something beyond the class name in 1 of 2"
    assert said(True, None, False).endswith(" in 1 of 3; in 1 of them this could not be tested")
    assert said(None, None, classes="none").endswith("beyond look-alike pictures could not be tested")


def test_other_prompts_are_other_groups():
    assert over_seeds([study("c/seed0", .5), study("c/seed1", .6, prompt="detailed")]) == []


def test_a_line_for_each_condition_on_the_terminal(capsys):
    studies = [study(f"c/seed{seed}", mean) for seed, mean in enumerate((.5, .6))]
    terminal.print_seeds({"metric": "ROUGE-1", "seeds": over_seeds(studies)})
    said = capsys.readouterr().out
    assert "seeds 0, 1; the EEG adds something beyond the class name in 2 of 2" in said and ".550 (.071)" in said
