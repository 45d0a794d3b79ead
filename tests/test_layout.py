"""The import rule: a file imports only from lower levels, so the way of the data can be read off the folder listing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = [
    {"processes"},
    {"errors", "config", "loss", "torchvision_cpu"},
    {"options", "runs"},
    {"checkpoints", "pickles", "pictures", "montage", "ledger", "profiling"},
    {"splits_file", "provenance"},
    {"sources", "encoders", "metrics", "prompts", "dataset_folder", "splits", "machine_captions",
     "conditions", "llm_memory", "prefix_cache", "caption_decoding", "sharding"},
    {"datautils", "trials", "model"},
    {"generation", "split_captions", "captioner_training", "audit", "evaluation", "when_where"},
    {"report"},
    {"pretrain_data_processor", "prepare_data", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm", "inference",
     "inference_chance", "evaluate", "recipes"},
    {"bench"},  # measures the scripts, so it stands above them
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
SCRIPTS = sorted(name for name in LEVELS[-2] if (ROOT / f"{name}.py").is_file())
FILES = sorted(path for path in ROOT.rglob("*.py") if not {"tests", ".venv", "runs"} & set(path.relative_to(ROOT).parts))


def imported(path):
    """Top-level names of this project's modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names if alias.name.split(".")[0] in LEVEL)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.split(".")[0] in LEVEL:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no level"
    wrong = [name for name in imported(path) if LEVEL[name] >= LEVEL[own] and name != own]
    assert not wrong, f"{path.name} (level {LEVEL[own]}) imports {wrong}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_no_heavy_import(script):
    code = (f"import sys, runpy; sys.argv = ['{script}.py', '--help']\n"
            f"try:\n    runpy.run_path('{script}.py', run_name='__main__')\n"
            "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
            "heavy = {'torch', 'transformers', 'mne', 'open_clip', 'pandas', 'matplotlib'} & set(sys.modules)\n"
            "assert not heavy, heavy")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout and "python " + script in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_is_explained(script):
    done = subprocess.run([sys.executable, f"{script}.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("  -"):
            assert len(line[2:].split("  ", 1)) == 2 or following.startswith(" " * 20), line


def test_small_files():
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 420}
    assert not long
