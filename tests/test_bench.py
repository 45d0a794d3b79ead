"""bench.speed: both sides do the same work correctly, and the table has the measured numbers; speed is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bitsandbytes  # noqa: F401  (its products)
import pytest
import torch

from bench import comparison, decoding, measurement, plain, roofline, speed, startup
from bench.ours import _until_end
from language_model.prompts import IMAGE, render

ROOT = Path(__file__).resolve().parents[1]
OTHER = "## NVIDIA Example: full\n\n| kept |\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished run of `python -m bench.speed --tiny`: its scratch folder and its results file."""
    scratch = tmp_path_factory.mktemp("bench") / "scratch"
    results = scratch.parent / "RESULTS.md"
    results.write_text(f"# Title\n\n{OTHER}")
    done = subprocess.run(
        [sys.executable, "-m", "bench.speed", "--tiny", "--repeats", "1", "--stages", "stage1", "stage3", "inference",
         "--scratch", scratch, "--results", results], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return scratch, results.read_text()


@pytest.fixture(scope="module")
def data(tiny):
    return json.loads((tiny[0] / "data.json").read_text())


@pytest.mark.slow
def test_both_sides_are_in_the_table_with_the_ratio_of_their_rates(tiny):
    text = tiny[1]
    assert text.startswith(f"# Title\n\n{OTHER}") and (
        f"## {measurement.device_name('cpu')}: speed, tiny, stage1, stage3, inference\n" in text)
    lines = [line for line in text.splitlines() if line.startswith("|") and "kept" not in line]
    columns, rows = lines[0].strip("| ").split(" | "), [line.strip("|").split("|") for line in lines[2:]]
    assert columns == list(speed.COLUMNS) and len(rows) == 3 + 3 + 5
    measured = 0
    for row in rows:
        row = [cell.strip() for cell in row]
        assert len(row) == len(columns)
        if row[3] == "not run":
            assert row[5] == row[9] == "not run" and row[1].startswith("DeepSeek-7B")
            continue
        ours, other, ratio = float(row[3]), float(row[5]), float(row[7])
        assert ours > 0 and other > 0 and ratio == pytest.approx(ours / other, abs=0.006)
        if row[8]:
            assert row[9] == ("yes" if ours / other >= float(row[8].rstrip("x")) else "no")
        assert 0.05 < float(row[10]) < 16 and 0.05 < float(row[11]) < 16 and row[14].endswith("%") and row[15].endswith("%")
        if row[0] != "1":
            assert float(row[12]) > 0 and float(row[13]) > 0
        measured += 1
    assert measured == 9 and text.count("16 of 16 the same token for token") == 2 and text.count("64 of 64 the") == 2


@pytest.mark.slow
def test_the_plain_loss_is_the_llms_own(data):
    from language_model.tokenizer import load_tokenizer

    llm, tokenizer = plain.load_llm(data["llm"], "cpu"), load_tokenizer(data["llm"])
    before, after = plain.padded_ids(tokenizer, "piano", "A grand piano in a room.")
    stand_in = 300  # a token whose own embedding is what is projected
    loss = plain.caption_loss(llm, llm.get_input_embeddings().weight[[stand_in]], before, after)

    text = render(tokenizer, "thought2text", plain.INSTRUCTION, "piano") + "<s>Assistant: A grand piano in a room.</s>\n"
    parts = [tokenizer(part, add_special_tokens=False).input_ids for part in text.split(IMAGE)]
    ids = torch.tensor([[*parts[0], stand_in, *parts[1]]])
    labels = torch.tensor([[*parts[0], -100, *parts[1]]])
    assert len(before) == len(after) == plain.PADDED_TOKENS and ids.shape[1] > 40
    assert loss.item() == pytest.approx(llm(input_ids=ids, labels=labels).loss.item(), rel=1e-6)


@pytest.mark.slow
def test_the_plain_captions_are_ours_token_for_token(data):
    from captioning.captioner import Captioner

    captioner, content = Captioner(data["captioner"], "cpu"), plain.load_content(data["eeg"])
    model = captioner.model
    eeg = torch.stack([content["dataset"][i]["eeg"][:, plain.WINDOW] for i in data["test"][:5]])
    embeddings, predicted, _ = captioner.read(eeg)
    calls = measurement.time_calls(model, "generate", lambda ids, **_: ids[0].tolist())
    captioner.generate(embeddings, predicted, True, plain.INSTRUCTION,
                       batch_size=1, max_new_tokens=12, repetition_penalty=1.1, do_sample=False)
    theirs = [plain.write_caption(model.encoder, model.projector, model.llm, captioner.tokenizer, one, data["names"],
                                  12).tolist() for one in eeg]
    assert sorted(ids for _, _, ids in calls) == sorted(theirs) and len(set(map(tuple, theirs))) > 1


def test_noise_of_bench_scale_is_a_data_set_folder(tmp_path):
    from bench.speed_data import write_noise
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    write_noise(tmp_path / "data", 2100, 3, 20)
    trials = load_trials(tmp_path / "data")
    split = load_split(tmp_path / "data" / "splits.pth", trials, needed=("train", "val"))
    assert trials.eeg.shape == (2100, 3, 20) and not trials.has_pictures and len(trials.label.unique()) == 40
    assert {part: len(rows) for part, rows in split.items()} == {"train": 1890, "val": 210, "test": 0}


def test_tokens_are_counted_to_the_first_end_token():
    assert _until_end([5, 6, 1, 1, 1], 1) == [5, 6, 1] and _until_end([5, 6], 1) == [5, 6]


def test_a_failed_side_is_a_failed_row():
    fine = {"step": 2.0, "peak GiB": 1.0, "tokens": 100, "flops": 1e9}
    limit = {"FLOP/s": 5e9, "bytes/s": 1e9}
    good, bad = (comparison.summary(runs, 16, limit) for runs in ([fine], [fine, {"error": "exit code 1"}]))
    row = comparison.row("1", "some work", "trials/s", good, bad, 10)
    assert row[3] == "8" and row[5] == "failed: exit code 1" and row[7] == row[15] == "" and row[9] == "not run"
    assert (row[12], row[14]) == ("50", "10.0%") and len(row) == len(speed.COLUMNS)


def test_rows_of_the_startup():
    runs = [{"seconds": 2.0, "peak GiB": 1.5, "own GiB": 0.25}, {"seconds": 3.0, "peak GiB": 1.0, "own GiB": 0.5},
            {"seconds": 2.5, "peak GiB": 1.0, "own GiB": 0.5}]
    both = startup.row("stage 1", runs, runs[:1], 20, 0.5)
    assert both == ["stage 1", "2.50", "2.00 to 3.00", "< 20 s", "yes", "2.00", "2.00 to 2.00", "1.50", "1.50", "3.00",
                    "3.00", "1.00", "0.50"]
    assert len(both) == len(startup.COLUMNS)
    slow = startup.row("--help", [{"seconds": 4.0}], [], 3, 0.5)
    assert slow == ["--help", "4.00", "4.00 to 4.00", "< 3 s", "no", *[""] * 8]
    failed = startup.row("stage 1", [*runs, {"error": "exit code 1"}], runs, 20, 0.5)
    assert failed[:7] == ["stage 1", "failed: exit code 1", "", "< 20 s", "", "2.50", "2.00 to 3.00"]
    assert failed[7:] == ["", "1.50", "", "3.00", "", "1.00"]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["ours", "plain"])
def test_the_measured_commands_start_by_themselves(module):
    """Without a file that imported runtime before, a torchvision built for CUDA must not stop them."""
    done = subprocess.run([sys.executable, "-m", f"bench.{module}", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and f"usage: python -m bench.{module}" in done.stdout, done.stderr


def test_options_of_the_script_are_not_those_of_bench_ours():
    from bench import ours

    args = ours.parse(["--first_step", "r.json", "finetune_llm", "--output", "a", "--first_step"])
    assert args.first_step and args.script == "finetune_llm" and args.arguments == ["--output", "a", "--first_step"]
    assert not ours.parse(["r.json", "inference", "--first_step"]).first_step


def test_captions_are_written_in_each_way(tmp_path, capsys):
    decoding.main(["--device", "cpu", "--shape", "tiny Llama", "--captions", "3", "6", "--max_new_tokens", "5", "--results",
                   str(tmp_path / "RESULTS.md")])
    lines = [line.strip("| ").split(" | ") for line in (tmp_path / "RESULTS.md").read_text().splitlines() if "|" in line]
    rows = [row for row in lines if row[0] in decoding.WAYS]
    assert [(row[0], row[1]) for row in rows] == [(way, count) for way in decoding.WAYS for count in ("3", "6")]
    for row in rows:
        assert float(row[2]) == pytest.approx(1e3 / float(row[3]) * int(row[1]) / 5, rel=.05)
    assert [row[5] for row in rows[-2:]] == ["100.0%"] * 2


def test_flops_of_8_bit_products_are_counted():
    """2 x rows x inputs x outputs, whichever of bitsandbytes' products runs."""
    rows, weights = (torch.randint(-9, 9, size, dtype=torch.int8) for size in ((6, 8), (5, 8)))
    scales, products = (torch.rand(6), torch.rand(5)), torch.ops.bitsandbytes
    for work in (lambda: products.int8_linear_matmul(rows, weights),
                 lambda: products.int8_scaled_mm(rows, weights, *scales),
                 lambda: products.int8_mixed_scaled_mm(torch.randn(2, 3, 8).half(), rows, weights, *scales)):
        assert roofline.count_flops(work)[1] == 2 * 6 * 8 * 5
