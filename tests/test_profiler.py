"""--profile: seconds by stage, and torch.profiler's table and trace of a few steps."""

import gzip
import json
import re
import time

from runtime import profiler

import pytest
import torch

import train_eeg_classifier
from tiny import data_arguments


def stages(text):
    """{stage: (seconds, share in %)} of a profile's text."""
    found = re.findall(r"^(\S.*?) +(\d+\.\d+) +(\d+\.\d)%", text.split("most memory")[0], re.M)
    return {name: (float(seconds), float(share)) for name, seconds, share in found}


def trace(file):
    return json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]


def test_a_profiled_training(data, clip, tmp_path, capsys):
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path),
                               "--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8",
                               "--device", "cpu", "--batch_size", "8", "--num_epochs", "2", "--profile"])
    assert "profile written to" in capsys.readouterr().out
    text = (tmp_path / "profile" / "train_eeg_classifier.txt").read_text()
    found = stages(text)
    assert {"start", "data", "training", "branches", "results", "the whole run"} == found.keys()
    assert sum(share for name, (_, share) in found.items() if name != "the whole run") == pytest.approx(100, abs=0.3)
    assert "training step 3 to 7" in text and "aten::" in text and "most memory held" in text
    events = trace(tmp_path / "profile" / "train_eeg_classifier.trace.json.gz")
    names = [event.get("name", "") for event in events if event.get("cat") == "user_annotation"]
    assert sum(name.startswith("ProfilerStep#") for name in names) == 5  # steps 3 to 7 of 16
    assert sum(name.startswith("Optimizer.step#") for name in names) == 5
    assert not profiler._running


def test_stages_and_parts_are_told_apart_also_when_the_run_fails(tmp_path):
    with pytest.raises(KeyError), profiler.profiled(tmp_path, "run", steps="batch", first=2, last=3):
        time.sleep(0.02)
        profiler.stage("work")
        for _ in range(5):
            with profiler.part("outer"):
                time.sleep(0.01)
                with profiler.part("inner"):
                    time.sleep(0.02)
                    torch.ones(3) + 1
            profiler.step("of another kind")
            profiler.step("batch")
        raise KeyError
    text = (tmp_path / "profile" / "run.txt").read_text()
    assert stages(text)["work"][0] >= 0.15 and "batch 2 to 3" in text and "aten::add" in text
    parts = dict(re.findall(r"^(outer|inner) +\d+\.\d+ +(\d+)$", text, re.M))
    assert parts == {"outer": "2", "inner": "2"}
    names = [event.get("name") for event in trace(tmp_path / "profile" / "run.trace.json.gz")]
    assert names.count("outer") >= 2 and names.count("inner") >= 2


def test_a_run_of_fewer_steps_says_so_and_leaves_no_trace_of_another(tmp_path):
    for steps in (4, 1):
        with profiler.profiled(tmp_path, "run", steps="batch", first=3, last=4):
            for _ in range(steps):
                profiler.step("batch")
    assert "The run was over before batch 3" in (tmp_path / "profile" / "run.txt").read_text()
    assert [path.name for path in (tmp_path / "profile").iterdir()] == ["run.txt"]


def test_without_the_flag_nothing_is_written(tmp_path):
    with profiler.profiled(None, "run"), profiler.part("a"):
        profiler.stage("work")
        profiler.step("training step")
    assert not profiler._running and not list(tmp_path.iterdir())
