"""Captions are decoded as the command line says. Of the LLM's generation_config.json only the ends are used."""

import json

from runtime.generation import ends_only

import pytest
from transformers import GenerationConfig

from metrics.judge import Judge
from test_model import batch_of, build
from tiny import make_llm


def written(folder):
    model = build(folder).eval()
    batch = batch_of(folder, captions=None)
    batch.pop("labels")
    return model.generate(**batch, max_new_tokens=12, do_sample=False, repetition_penalty=1.1, pad_token_id=0,
                          eos_token_id=[0]).tolist()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return written(make_llm(tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("leak", [
    {"num_beams": 4}, {"num_beams": 2, "num_return_sequences": 2}, {"cache_implementation": "static"},
    {"cache_implementation": "quantized"}, {"cache_implementation": "hybrid"}, {"min_new_tokens": 12}, {"min_length": 200},
    {"max_length": 20}, {"max_time": 0.0}, {"no_repeat_ngram_size": 2}, {"suppress_tokens": [5, 6, 7]},
    {"begin_suppress_tokens": [5]}, {"bad_words_ids": [[5]]}, {"sequence_bias": [[[5], -9.0]]}, {"forced_eos_token_id": 0},
    {"forced_bos_token_id": 3}, {"exponential_decay_length_penalty": [2, 5.0]}, {"return_dict_in_generate": True},
    {"output_scores": True, "return_dict_in_generate": True}, {"output_attentions": True, "return_dict_in_generate": True},
    {"repetition_penalty": 1.9}, {"encoder_repetition_penalty": 2.0}, {"stop_strings": ["a", "e"]}, {"use_cache": False},
    {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 3}, {"temperature": 0.6}, {"guidance_scale": 3.0},
    {"prompt_lookup_num_tokens": 3}, {"assistant_early_exit": 1}, {"renormalize_logits": True},
    {"remove_invalid_values": True}, {"penalty_alpha": 0.6, "top_k": 4}, {"dola_layers": "high"},
    {"num_beam_groups": 2, "num_beams": 2}, {"watermarking_config": {"greenlist_ratio": 0.5}}, {"pad_token_id": 77},
    {"bos_token_id": 9999},
], ids=str)
def test_nothing_leaks_into_captions(tmp_path, expected, leak):
    folder = make_llm(tmp_path)
    content = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(content | leak))
    assert written(folder) == expected


def test_an_llm_without_the_file_is_decoded_alike(tmp_path, expected):
    folder = make_llm(tmp_path)
    (folder / "generation_config.json").unlink()
    assert written(folder) == expected


def test_nothing_leaks_into_a_local_judge(tmp_path):
    answers = []
    for name, leak in (("a", {}), ("b", {"num_beams": 3, "no_repeat_ngram_size": 1, "min_new_tokens": 8})):
        folder = make_llm(tmp_path / name)
        content = json.loads((folder / "generation_config.json").read_text())
        (folder / "generation_config.json").write_text(json.dumps(content | leak))
        judge = Judge(str(folder), cache=tmp_path / "cache" / name, tokens=8)
        judge.rate(["A cat.", "A red dog."], ["A red cat.", "A blue dog in the snow."])
        answers.append([json.loads(line)["answer"] for line in judge.cache.path.read_text().splitlines()])
    assert answers[0] == answers[1] and len(answers[0]) == 4


def test_only_ends_are_kept():
    given = GenerationConfig(eos_token_id=[4, 7], num_beams=3, pad_token_id=5, max_new_tokens=9)
    assert ends_only(given).to_diff_dict() == GenerationConfig(eos_token_id=[4, 7]).to_diff_dict()
    assert ends_only(None).eos_token_id is None
