"""Which LLM wrote captions: two models of one shape are told apart, and a copy is the same."""

import shutil

from language_model.identity import WHOLE, llm_identity


def test_models_of_one_shape_are_told_apart_and_copies_are_not(llm, tmp_path):
    one = llm_identity(llm)
    shutil.copytree(llm, tmp_path / "copy")
    assert llm_identity(tmp_path / "copy") == one and len(one) == 16
    weights = next((tmp_path / "copy").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1  # one bit of one weight; header and size stay
    weights.write_bytes(content)
    assert llm_identity(tmp_path / "copy") != one
    config = tmp_path / "copy" / "tokenizer_config.json"
    before = llm_identity(tmp_path / "copy")
    config.write_text(config.read_text() + " ")
    assert llm_identity(tmp_path / "copy") != before


def test_large_files_are_sampled(tmp_path):
    file = tmp_path / "model.safetensors"
    with open(file, "wb") as stream:
        stream.truncate(4 * WHOLE)
    empty = llm_identity(tmp_path)
    with open(file, "r+b") as stream:
        stream.seek(4 * WHOLE - 3)
        stream.write(b"x")
    assert llm_identity(tmp_path) != empty


def test_a_hub_name_that_is_not_there_stands_for_itself():
    assert llm_identity("nobody/no-such-model") == "nobody/no-such-model"
