"""The import rule: a file imports only from lower levels and never in a circle, so the way of the data can be read off the
folder listing."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = [
    {"runtime"},
    {"config", "loss"},
    {"eegdata", "metrics", "language_model"},
    {"audit"},
    {"sources", "encoders", "evaluation"},
    {"model", "datautils", "interpretability", "report"},
    {"captioning"},
    {"pretrain_data_processor", "prepare_data", "train_eeg_classifier", "test_eeg_classifier", "finetune_llm", "inference",
     "inference_chance", "evaluate", "caption", "stream", "app", "recipes"},
    {"bench"},  # measures the scripts, so it stands above them
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
SCRIPTS = sorted(name for name in LEVELS[-2] if (ROOT / f"{name}.py").is_file())
FILES = sorted(path for path in ROOT.rglob("*.py")
               if not {"tests", ".venv", "runs", "demo"} & set(path.relative_to(ROOT).parts))
FILE_OF = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imported(path):
    """This project's files that a file imports, wherever in the file; a package's __init__ only where it is named."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((*package[:len(package) + 1 - node.level], *filter(None, [node.module]))
                            if node.level else [node.module])
            names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILE_OF else base for alias in node.names]
        else:
            continue
        yield from (FILE_OF[name] for name in names if name in FILE_OF)


def place(path):
    """The top-level name that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    own = place(path)
    assert own in LEVEL, f"{own} has no level"
    wrong = [str(other.relative_to(ROOT)) for other in imported(path)
             if place(other) != own and LEVEL[place(other)] >= LEVEL[own]]
    assert not wrong, f"{path.name} (level {LEVEL[own]}) imports {wrong}"


def test_no_circle():
    done, open_files = set(), []

    def visit(path):
        if path in done:
            return
        assert path not in open_files, " -> ".join(str(p.relative_to(ROOT)) for p in [*open_files, path])
        open_files.append(path)
        for other in imported(path):
            visit(other)
        done.add(open_files.pop())

    for path in FILES:
        visit(path)


IMPORT_TORCHVISION = {"transformers", "peft", "open_clip", "timm", "sentence_transformers", "bert_score"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_runtime_is_imported_before_what_imports_torchvision(path):
    """Else the CUDA wheel of torchvision stops it beside a CPU build of torch (runtime/cuda_wheels.py)."""
    package = path.parent / "__init__.py"
    files = [package] * (path.parent != ROOT and package.is_file() and package != path) + [path]
    for node in (node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body):
        names = ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                 [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        if any(name.split(".")[0] == "runtime" for name in names) or path.parent.name == "runtime":
            return
        assert not {name.split(".")[0] for name in names} & IMPORT_TORCHVISION, names


def test_the_root_holds_what_users_call():
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line for line in tracked.split() if "/" not in line} == {
        "config.py", "datautils.py", "loss.py", "model.py", "prepare_data.py", "pretrain_data_processor.py",
        "train_eeg_classifier.py", "test_eeg_classifier.py", "finetune_llm.py", "inference.py", "inference_chance.py",
        "evaluate.py", "caption.py", "stream.py",
        "app.py"}


def test_root_names_hide_no_other_module():
    """evaluate.py is the predecessors' name; its package is never depended on."""
    installed = {top for top, names in importlib.metadata.packages_distributions().items() if names}
    assert not set(LEVEL) & sys.stdlib_module_names
    assert not set(LEVEL) - {"evaluate"} & installed
    assert not {"data", "results", "runs", "datasets", "profiling", "llm"} & set(LEVEL)


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
    assert "(default: )" not in done.stdout
    lines = done.stdout.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("  -"):
            assert len(line[2:].split("  ", 1)) == 2 or following.startswith(" " * 20), line


def test_small_files():
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 420}
    assert not long
