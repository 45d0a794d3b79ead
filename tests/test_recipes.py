"""The shell recipes and the Makefile: folders with blanks reach the scripts whole, and users' runs are never deleted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from runtime.runs import versions

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORD = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""


def calls(tmp_path, recipe, *arguments, **environment):
    """The arguments of each `python` that a recipe starts; nothing else runs."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(RECORD)
    python.chmod(0o755)
    file = tmp_path / "calls"
    variables = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}", "CALLS": str(file)} | environment
    done = subprocess.run(["bash", str(ROOT / "recipes" / recipe), *arguments], cwd=tmp_path, env=variables,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(("recipe", "arguments"), [
    ("demo.sh", ["my runs/*", "1"]), ("n170.sh", ["my data", "my runs/*"]), ("captions_by_people.sh", ["my runs/*", "1"])])
def test_folders_with_blanks_and_stars_reach_the_scripts_whole(tmp_path, recipe, arguments):
    (tmp_path / "my runs" / "other").mkdir(parents=True)  # what an unquoted star would find
    found = calls(tmp_path, recipe, *arguments, LLM="my llm", CLIP_MODEL="my clip")
    scripts = [call[1] if call[0] == "-m" else call[0] for call in found]
    assert [script for script in scripts if script.endswith(".py")] == [
        "prepare_data.py", "train_eeg_classifier.py", "test_eeg_classifier.py", "finetune_llm.py", "inference.py",
        "inference_chance.py", "evaluate.py"]
    for call in found:
        folders = [word for word in call if "my runs" in word]
        assert all(word.startswith("my runs/*") for word in folders)
        assert folders or "make_small_llm" in call[1] or call[:2] == ["-m", "metrics.sentences"]
    finetune = found[scripts.index("finetune_llm.py")]
    assert finetune[finetune.index("--eeg_dataset") + 1] == "my runs/*/data"
    assert finetune[finetune.index("--lora_target") + 1] == r".*\.(q_proj|v_proj)"


def test_the_benchmark_of_encoders_prepares_its_data_sets(tmp_path):
    found = calls(tmp_path, "benchmark_encoders.sh", "my data", "my file", "my runs/*")
    assert [call[1] for call in found[:-1]] == ["n170", "uci"] + 4 * ["simulated"]
    assert found[0][3] == "my data" and found[1][3] == "my file"
    given = found[-1][found[-1].index("--simulated") + 1:]
    assert found[-1][1] == "recipes.benchmark_encoders"
    assert given == [call[call.index("--output") + 1] for call in found[2:-1]]


def test_clean_and_ci_delete_no_users_runs():
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    clean = subprocess.run(["make", "-n", "clean"], cwd=ROOT, env=outer, capture_output=True, text=True, check=True)
    clean = clean.stdout.split()
    ci = next(line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("rm ")).split()
    assert clean[:2] == ci[:2] == ["rm", "-rf"] and set(clean[2:]) == {".venv", "demo"} and ci[2:] == [".venv"]


def test_the_makers_of_numbers_are_in_each_record():
    assert {"torch", "transformers", "peft", "numpy", "scipy", "scikit-learn", "mne", "datasets", "nltk", "rouge-score",
            "sacrebleu", "pyriemann"} <= versions().keys()
