"""bench/gpu_check.sh: its CPU mode as a user runs it, the shape of the LLM, and the results file."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

from runtime.errors import InputError

import pytest
import torch

from bench import gpu_check, measurement
from bench.synthetic import llm_config, write_subset
from eegdata.splits import read_splits, write_splits

ROOT = Path(__file__).resolve().parents[1]


def gpu_check_sh(*arguments):
    return subprocess.run(["bash", str(ROOT / "bench/gpu_check.sh"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_cpu_mode_measures_every_precision_and_keeps_other_devices(tmp_path):
    results = tmp_path / "RESULTS.md"
    own, other = f"{measurement.device_name('cpu')}: tiny", "NVIDIA Example: full"
    results.write_text(f"# Title\n\n## {own}\n\nold numbers\n\n## {other}\n\n| kept |\n")
    done = gpu_check_sh("--device", "cpu", "--tiny", "--steps", "3", "--captions", "6", "--max_new_tokens", "4",
                        "--results", results, "--scratch", tmp_path / "scratch")
    assert done.returncode == 0, done.stderr
    text = results.read_text()
    assert text.startswith("# Title\n") and "old numbers" not in text and text.endswith(f"\n## {other}\n\n| kept |\n")
    assert text.count(f"## {own}\n") == 1 and f"torch {torch.__version__}" in text and "3 steps of 4 trials" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| tiny")]
    assert [row[1] for row in rows] == ["bf16", "8-bit", "4-bit"]
    for row in rows:
        steps, trials, memory, captions = (float(row[i]) for i in (2, 3, 5, 7))
        assert steps > 0 and captions > 0 and 0.05 < memory < 16
        assert trials == pytest.approx(4 * steps, abs=0.1)


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = gpu_check_sh("--results", tmp_path / "RESULTS.md")
    assert done.returncode == 2 and "--device cuda" in done.stderr and not (tmp_path / "RESULTS.md").exists()


def test_large_model_has_deepseek_7bs_parameters():
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(llm_config("DeepSeek-7B"))
    layer = 4 * 4096 ** 2 + 3 * 4096 * 11008 + 2 * 4096
    assert sum(p.numel() for p in model.parameters()) == 2 * 102400 * 4096 + 30 * layer + 4096 == 6_910_365_696
    assert model.config.rope_parameters["rope_theta"] == 10000


def test_a_command_that_fails_is_a_failed_row_not_a_lost_run(tmp_path, capfd):
    processes = measurement.ProcessRunner("cuda")  # it preloads nothing, so it starts at once
    failed = processes.run("a model", gpu_check.make_random_llm, "no such shape", tmp_path, "cpu", tmp_path)
    assert failed == {"error": "exit code 1"} and "no such shape" in capfd.readouterr().err
    with pytest.raises(InputError, match="nothing can be measured without it"):
        processes.run_required("a model", gpu_check.make_random_llm, "no such shape", tmp_path, "cpu", tmp_path)
    table = gpu_check.table([{"LLM": "an LLM", "precision": "8-bit", "finetuning": failed, "inference": failed}])
    assert "| failed: exit code 1 | - |" in table
    assert {line.count("|") for line in table.splitlines()} == {len(gpu_check.COLUMNS) + 1}


@pytest.mark.slow
def test_on_a_cpu_the_process_starts_with_the_libraries_loaded():
    """A module that was renamed is silently left out of the preload, and a wrong order breaks torchvision."""
    code = ("from bench import measurement\n"
            "listed = measurement.ProcessRunner('cpu').run('preload', eval, \"{'loaded': [*__import__('sys').modules]}\")\n"
            "print('absent', set(measurement.CPU_PRELOAD) - set(listed['loaded']))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "absent set()\n" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("command", [
    "gpu_check --device cuda --tiny", "gpu_check --device cuda --synthetic --steps 20 --batch_size 64 --captions 96",
    "gpu_check --device cuda --synthetic --steps 20 --batch_size 16 --captions 96",
    "speed --device cuda --stages stage1 stage3 --repeats 1"])
def test_the_first_commands_on_a_gpu_are_parsed(command):
    module, *arguments = command.split()
    args = importlib.import_module(f"bench.{module}").parse(arguments)
    assert args.device == "cuda"
    if module == "gpu_check":
        sizes = gpu_check.sizes_of(args)
        assert sizes == (gpu_check.Sizes(4, 4, 8) if args.tiny else gpu_check.Sizes(20, args.batch_size, 96))
    with pytest.raises(AttributeError, match="options stay as they were given"):
        args.device = "cpu"


def test_new_sections_are_added_behind_the_others():
    first = measurement.replace_section("", "A: full", "one\n")
    both = measurement.replace_section(first, "B: full", "two\n")
    assert first.startswith("# Measured") and first.endswith("\n## A: full\n\none\n")
    assert both == f"{first}\n## B: full\n\ntwo\n"
    assert measurement.replace_section(both, "B: full", "two\n") == both


def test_subsets_are_spread_over_a_part(tmp_path):
    write_splits(tmp_path / "all.pth", {"train": range(100), "val": range(100, 103), "test": []})
    kept = write_subset(tmp_path / "all.pth", tmp_path / "some.pth", train=5, val=8, test=2)
    assert kept == {"train": 5, "val": 3, "test": 0}
    assert read_splits(tmp_path / "some.pth") == [{"train": [0, 25, 50, 74, 99], "val": [100, 101, 102], "test": []}]
