"""An LLM that learned a vector for each position has none beyond: longer texts are refused, not an index error."""

import pytest

from families import make_family
from finetuning import finetune, write

POSITIONS = 64


@pytest.fixture(scope="module")
def short(data, clip, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("short")
    llm = make_family(folder / "llm", "gpt2", n_positions=POSITIONS)
    return llm, finetune(data, clip, encoder, llm, folder / "captioner", "--no_stage2", "--max_steps", "1")


def refused(capsys, run, *given):
    with pytest.raises(SystemExit) as stop:
        run(*given)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_captions_end_where_positions_do(short, data, tmp_path, capsys):
    said = refused(capsys, write, short[1], data, tmp_path / "a.csv", "--max_new_tokens", "100")
    assert f"takes texts of at most {POSITIONS} tokens" in said and said.startswith("error: --max_new_tokens 100 after ")
    most = POSITIONS - int(said.split("the longest prompt has ")[1].split()[0]) + 1
    refused(capsys, write, short[1], data, tmp_path / "a.csv", "--max_new_tokens", str(most + 1))
    length = ("--min_new_tokens", str(most))
    assert len(write(short[1], data, tmp_path / "a.csv", "--max_new_tokens", str(most), *length)) == 24


def test_training_refuses_longer_rows(short, data, clip, encoder, tmp_path, capsys):
    said = refused(capsys, finetune, data, clip, encoder, short[0], tmp_path / "b", "--exemplars", "4")
    assert f"at most {POSITIONS} tokens; give a smaller --max_caption_tokens (now 64), fewer --exemplars (now 4)" in said
