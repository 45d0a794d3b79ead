"""The protocol thought2text against what the predecessors published: each mean in their tables, from their caption CSVs."""

from pathlib import Path

import pandas as pd
import pytest

from metrics import wordnet
from metrics.text import caption_scores, default_cleaning

FOLDER = Path(__file__).parents[2] / "shared/data/captions"
METRICS = ("BLEU", "BLEU-1", "ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR")
# DL_Proj_EEG-to-Text, eval/eval.ipynb: of eval/mistral_results.csv and so on.
DL_PROJ = {
    "vtccc_mistral_results.csv": (.065, .270, .320, .094, .289, .271),
    "vtccc_deepseek_eeg_model_7B_base_results.csv": (.033, .168, .262, .047, .244, .182),
    "vtccc_advanced_deepseek.csv": (.023, .129, .184, .021, .168, .158),
}
# Thought2Text, eval/results/Results.ods: of eval/predictions.zip. ONLY_OBJ is of chance1, OBJ+RANDOM_EEG of chance2.
THOUGHT2TEXT = {
    "results_Meta-Llama-3-8B-Instruct_all.csv": (.055, .255, .300, .081, .266, .263),
    "results_Meta-Llama-3-8B-Instruct_chance1.csv": (.013, .073, .098, .015, .085, .126),
    "results_Meta-Llama-3-8B-Instruct_only_eeg.csv": (.052, .241, .289, .073, .262, .237),
    "results_Meta-Llama-3-8B-Instruct_chance2.csv": (.004, .028, .038, .004, .033, .059),
    "results_Meta-Llama-3-8B-Instruct_no_stage2_all.csv": (.043, .226, .269, .061, .239, .237),
    "results_Meta-Llama-3-8B-Instruct_no_stage2_only_eeg.csv": (.043, .227, .270, .059, .243, .218),
    "results_Mistral-7B-Instruct-v0.3_all.csv": (.061, .260, .306, .088, .280, .262),
    "results_Mistral-7B-Instruct-v0.3_chance1.csv": (.025, .145, .176, .034, .148, .232),
    "results_Mistral-7B-Instruct-v0.3_only_eeg.csv": (.042, .233, .267, .053, .235, .220),
    "results_Mistral-7B-Instruct-v0.3_chance2.csv": (.029, .157, .179, .036, .151, .228),
    "results_Mistral-7B-Instruct-v0.3_no_stage2_all.csv": (.050, .241, .292, .073, .265, .240),
    "results_Mistral-7B-Instruct-v0.3_no_stage2_only_eeg.csv": (.037, .219, .251, .045, .218, .209),
    "results_Qwen2.5-7B-Instruct_all.csv": (.037, .227, .264, .046, .228, .211),
    "results_Qwen2.5-7B-Instruct_chance1.csv": (.024, .148, .176, .028, .145, .210),
    "results_Qwen2.5-7B-Instruct_only_eeg.csv": (.032, .219, .252, .036, .215, .202),
    "results_Qwen2.5-7B-Instruct_chance2.csv": (.003, .013, .017, .001, .016, .064),
    "results_Qwen2.5-7B-Instruct_no_stage2_all.csv": (.033, .207, .244, .041, .209, .202),
    "results_Qwen2.5-7B-Instruct_no_stage2_only_eeg.csv": (.029, .200, .230, .030, .198, .192),
}


@pytest.mark.parametrize("name", [*DL_PROJ, *THOUGHT2TEXT])
def test_each_published_mean_comes_out(name):
    if not (FOLDER / name).exists():
        pytest.skip(f"{FOLDER / name} is absent")
    table = pd.read_csv(FOLDER / name, keep_default_na=False)
    generated, published = table["Generated Caption"].tolist(), (DL_PROJ | THOUGHT2TEXT)[name]
    assert len(table) == 1987
    assert default_cleaning(generated, "thought2text") == ("deepseek" if "deepseek" in name else "first_sentence")
    metrics = [metric for metric in METRICS if metric != "METEOR" or wordnet.is_available()]
    scores = caption_scores(generated, table["Expected Caption"].tolist(), "thought2text", metrics=metrics)
    found = {metric: values.mean() for metric, values in scores.items()}
    rounding = 5e-4 + 1e-9  # they print three decimals
    assert found == pytest.approx({metric: value for metric, value in zip(METRICS, published, strict=True)
                                   if metric in metrics}, abs=rounding, rel=0)
