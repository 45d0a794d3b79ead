"""A tokenizer that loses text is an error when the LLM is chosen, not found out in the captions."""

import shutil

from runtime.errors import InputError

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from finetuning import finetune
from language_model.tokenizer import SENTENCES, check_captions, load_tokenizer
from tiny import make_tokenizer


def saved(folder, pre_tokenizer, decoder, model=None, trainer=trainers.BpeTrainer, normalizer=None, texts=SENTENCES * 3):
    tokenizer = Tokenizer(model or models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoder
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(texts, trainer(vocab_size=500, special_tokens=["<unk>", "</s>"], show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    return folder


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
LOSING = {
    "spaces": (pre_tokenizers.Whitespace(), decoders.Fuse()),  # what 5.17 made of DeepSeek's layout
    "full stops": (BYTES, decoders.ByteLevel(), None, trainers.BpeTrainer, normalizers.Replace(".", "")),
    "words": (pre_tokenizers.Whitespace(), None, models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer, None,
              ["A red cat in the snow ."]),
}
KEEPING = {
    "bytes": (BYTES, decoders.ByteLevel()),
    "sentencepiece": (pre_tokenizers.Metaspace(), decoders.Metaspace()),
    "lower case": (pre_tokenizers.Metaspace(), decoders.Metaspace(), None, trainers.BpeTrainer, normalizers.Lowercase()),
    "wordpiece": (pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(), models.WordPiece(unk_token="<unk>"),
                  trainers.WordPieceTrainer),
}


@pytest.mark.parametrize("kind", LOSING)
def test_a_tokenizer_that_loses_text_is_an_error(tmp_path, kind):
    with pytest.raises(InputError, match=r"the tokenizer loses text: .* comes back as"):
        load_tokenizer(saved(tmp_path, *LOSING[kind]))


@pytest.mark.parametrize("kind", KEEPING)
def test_a_tokenizer_that_keeps_text_is_taken(tmp_path, kind):
    assert load_tokenizer(saved(tmp_path, *KEEPING[kind])).eos_token == "</s>"


def test_captions_that_lose_text_are_counted(data, clip, encoder, llm, tmp_path, capsys):
    texts = {path.read_text().strip() for path in (data / "images").rglob("*_[0-5]_caption.txt")}  # training, validation
    lossy = shutil.copytree(llm, tmp_path / "llm")
    tokenizer = AutoTokenizer.from_pretrained(lossy)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(" grass", "")
    tokenizer.save_pretrained(lossy)
    finetune(data, clip, encoder, lossy, tmp_path / "out", "--no_stage2", "--max_steps", "1")
    lost = sum("grass" in text for text in texts)
    said = capsys.readouterr().out
    assert 0 < lost <= len(texts) / 2 and f"{lost} of {len(texts)} captions lose text in its tokenizer, as 'A " in said
    with pytest.raises(InputError, match="choose an LLM that knows the language of your captions"):
        check_captions(tokenizer, ["A cat on the grass."])


def test_finetuning_ends_with_one_sentence(data, clip, encoder, llm, tmp_path, capsys):
    broken = shutil.copytree(llm, tmp_path / "llm")
    tokenizer = make_tokenizer(SENTENCES, chat=True)
    tokenizer.backend_tokenizer.decoder = decoders.Fuse()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save_pretrained(broken)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, broken, tmp_path / "out")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "loses text: 'A red cat in the snow.' comes back as 'Aredcatinthesnow.'" in said
