import gzip
import json
import re
import time

import pytest
import torch

import train_eeg_classifier
from runtime import profiler
from tiny import data_arguments


def shares(table):
    """{part: (seconds, share in %)} of a table, the whole run apart."""
    found = dict(re.findall(r"^(\S.*?) +(\d+\.\d+ +\d+\.\d)%", table, re.M))
    found = {part: tuple(map(float, numbers.split())) for part, numbers in found.items()}
    return found, found.pop("the whole run")


def trace(file):
    return json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]


def test_a_profiled_training(data, clip, tmp_path, capsys):
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path),
                               "--d_model", "16", "--attn_heads", "2", "--layers", "1", "--spatial_filters", "8",
                               "--device", "cpu", "--batch_size", "8", "--num_epochs", "2", "--profile"])
    assert "profile written to" in capsys.readouterr().out
    parts, (_, whole) = shares((tmp_path / "profile" / "train_eeg_classifier.txt").read_text())
    assert {"imports and start", "data", "data > picture embeddings", "training > batches", "training > forward",
            "training > backward", "training > optimizer", "training > validation", "training > saving",
            "results"} <= parts.keys()
    assert whole == 100 and sum(share for _, share in parts.values()) == pytest.approx(100, abs=0.05 * len(parts))
    file = tmp_path / "profile" / "train_eeg_classifier.trace.json.gz"
    assert file.stat().st_size < 2e6
    events = trace(file)
    counted = {name: sum(event.get("name") == name and event.get("cat") == "user_annotation" for event in events)
               for name in ("forward", "backward", "optimizer")}
    assert counted == {"forward": 5, "backward": 5, "optimizer": 5}  # steps 3 to 7 of 16
    assert not profiler._running


def test_parts_are_told_apart_and_the_trace_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(profiler, "MOST_EVENTS", 20)
    with pytest.raises(KeyError), profiler.profiled(tmp_path, "run", steps="batch", first=2, last=3) as profile:
        time.sleep(0.02)
        profiler.stage("work")
        for _ in range(5):
            with profiler.part("outer"):
                time.sleep(0.01)
                with profiler.part("inner"):
                    time.sleep(0.02)
                    torch.ones(3) + 1
            profiler.step("of another kind")
            profile.step()
        raise KeyError
    text = (tmp_path / "profile" / "run.txt").read_text()
    parts, _ = shares(text)
    assert parts["work > outer"][0] >= 0.05 and parts["work > outer > inner"][0] >= 0.1
    assert "aten::add" in text and "batch 2 to 3" in text
    assert len(trace(tmp_path / "profile" / "run.trace.json.gz")) == 20


def test_without_the_flag_nothing_is_written_or_wrapped(tmp_path):
    with profiler.profiled(None, "run") as profile:
        profile.step()
        profiler.step("training step")
        owner = type("Owner", (), {"work": lambda self: 1})()
        profiler.watch(owner, work="work")
        assert not vars(owner) and profiler.part("a") is not None and not list(tmp_path.iterdir())
