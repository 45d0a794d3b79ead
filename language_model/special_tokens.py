"""The tokens that end and pad texts: which they are, and whether the LLM has embeddings for them."""

from functools import lru_cache

from runtime.chat import chat_text
from runtime.errors import InputError

from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SPACES = " \t\n▁"  # SentencePiece writes a space as ▁
_MARK = "CAPTION"


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token with which the chat template ends the assistant's turn, such as <end_of_turn>; None if it has none.

    It may be another than the tokenizer's end token.
    """
    return _turn_end(tokenizer, str(tokenizer.chat_template)) if tokenizer.chat_template else None


@lru_cache(16)
def _turn_end(tokenizer, template):  # template: part of the key, as it may be replaced
    chat = [{"role": "user", "content": "What is this?"}, {"role": "assistant", "content": _MARK}]
    try:
        _, mark, after = chat_text(tokenizer, chat, reply=False).rpartition(_MARK)
    except InputError:  # the template is for prompts only
        return None
    named = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    ends = (token for token in tokenizer(after, add_special_tokens=False).input_ids if token in named)
    return next((token for token in ends if mark and tokenizer.convert_ids_to_tokens(token).strip(_SPACES)), None)


def end_id(tokenizer: PreTrainedTokenizerBase, template: str) -> int:
    """The token that ends a caption in training: what the LLM already ends its turns with, so there is little to learn."""
    end = None if template == "plain" else turn_end(tokenizer)
    return tokenizer.eos_token_id if end is None else end


def end_ids(tokenizer: PreTrainedTokenizerBase, llm: PreTrainedModel) -> list[int]:
    """All tokens at which a caption ends when it is generated: the tokenizer's end token, that of the chat template's
    turns, and those that the LLM itself names."""
    own = llm.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, turn_end(tokenizer), *(own if isinstance(own, list | tuple) else [own])} - {None}
    return sorted(end for end in ends if 0 <= end < token_count(llm))


def token_count(llm: PreTrainedModel) -> int:
    """The number of token embeddings of an LLM. A tokenizer may know more tokens."""
    return llm.get_input_embeddings().weight.shape[0]


def check_ids(tokenizer: PreTrainedTokenizerBase, ids: list[int], count: int, what: str) -> list[int]:
    """The ids; InputError if one of them has no embedding. count: the number of embeddings; what: whose ids they are."""
    strangers = sorted({token for token in ids if token >= count})
    if strangers:
        names = ", ".join(f"{name} (id {token})" for name, token in
                          zip(tokenizer.convert_ids_to_tokens(strangers[:5]), strangers, strict=False))
        raise InputError(f"LLM {tokenizer.name_or_path}: {what} contains the tokens {names}, but the model has embeddings "
                         f"for ids 0..{count - 1} only; give a tokenizer that belongs to the model, or enlarge the model "
                         "with transformers' resize_token_embeddings and save both")
    return ids


def check_ends(tokenizer: PreTrainedTokenizerBase, template: str, llm: PreTrainedModel) -> None:
    """InputError if the LLM cannot write the token that ends a caption."""
    check_ids(tokenizer, [tokenizer.eos_token_id, end_id(tokenizer, template)], token_count(llm), "the end of a caption")
