"""Prompts: class name and instruction as text and as token ids, with a mark where the embedding's soft tokens go."""

from runtime.chat import chat_text
from runtime.errors import InputError
from runtime.names import is_text

from transformers import PreTrainedTokenizerBase

from config import INSTRUCTIONS, SYSTEM_PROMPT
from language_model.special_tokens import end_id

IMAGE = "<image>"  # where the soft tokens go
EXEMPLARS = "Similar pictures:"  # before their captions


def choose_template(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """Resolve `auto`: `chat` if the tokenizer has a chat template, else `plain`. InputError: `chat` without a template."""
    if template == "chat" and not tokenizer.chat_template:
        raise InputError("--prompt_template chat: this LLM's tokenizer has no chat template; use plain")
    if template != "auto":
        return template
    return "chat" if tokenizer.chat_template else "plain"


def render(tokenizer: PreTrainedTokenizerBase, template: str, instruction: str, label: str | None = None,
           with_image: bool = True, exemplars: tuple[str, ...] = ()) -> str:
    """The prompt as text, with IMAGE where the soft tokens go.

    label: the class name, or words in its place; None leaves it out. with_image: False leaves the embedding out, and with
    it the exemplars: captions of other pictures, which the embedding chose. The template `thought2text` reproduces the
    prompts of the published checkpoints exactly.
    """
    similar = f"{EXEMPLARS} {' '.join(exemplars)}" if exemplars and with_image else ""
    for what, text in (("--prompt", instruction), ("class name", label or ""), ("training captions", similar)):
        if IMAGE in text:
            raise InputError(f"{what} {text[:200]!r}: holds {IMAGE}, which marks the place of the embedding, and that "
                             "stands in each prompt by itself; leave it out")
    content = " ".join(part for part in (IMAGE if with_image else "", label or "", similar, instruction) if part)
    if template == "plain":
        return f"{tokenizer.bos_token or ''}{content}"
    if template == "thought2text" and not tokenizer.chat_template:
        return f"<s>System: {SYSTEM_PROMPT}</s>\n<s>User: {content}</s>\n"
    user = [{"role": "user", "content": content}]
    once = IMAGE if with_image else ""
    system = [{"role": "system", "content": SYSTEM_PROMPT}] if template == "thought2text" else []
    try:
        return chat_text(tokenizer, system + user, once=once)
    except InputError:
        if not system:
            raise
        return chat_text(tokenizer, user, once=once)  # Gemma's template refuses a system turn


def pad_id(tokenizer: PreTrainedTokenizerBase, count: int | None = None) -> int:
    """The token id that pads a batch. Any id with an embedding will do, because attention masks are made from lengths.

    count: the number of token embeddings, if known. Some tokenizers name a pad token that their LLM never got.
    """
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in candidates if token is not None and (count is None or 0 <= token < count))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, template: str, instruction: str, label: str | None = None,
               with_image: bool = True, uncounted: int | None = None,
               exemplars: tuple[str, ...] = ()) -> tuple[list[int], list[int]]:
    """Token ids before and after the soft tokens. With with_image False all of them come before. exemplars: of `render`.

    uncounted: the end token of the LLM in a predecessor's checkpoint. The predecessors padded with it, took the number of
    other tokens for the length of each part, and kept so many from its end. So a part loses a token at its start for each
    end token in it, in training as in inference. Their prompts without an embedding did not pass through that code.
    """
    text = render(tokenizer, template, instruction, label, with_image, exemplars)
    if not is_text(text):
        raise InputError(f"prompt {text!r}: holds half a surrogate pair, which is no text to a tokenizer; correct the "
                         "class name (id2label.json, dataset.json) or --prompt")
    before, _, after = text.partition(IMAGE)
    if template == "thought2text":
        after = after.strip()  # as in the predecessors' inference code
    parts = [tokenizer(part, add_special_tokens=False).input_ids if part else [] for part in (before, after)]
    return tuple(ids[ids.count(uncounted):] if with_image else ids for ids in parts)


def caption_ids(tokenizer: PreTrainedTokenizerBase, template: str, caption: str, max_tokens: int) -> list[int]:
    """Token ids of a caption and the end token, with which the model learns to stop.

    Of a caption with more than `max_tokens` these whole characters remain, without an end token: it does not end there.
    """
    space = "" if template == "chat" else " "
    ids = tokenizer(space + caption, add_special_tokens=False).input_ids
    if len(ids) <= max_tokens:
        return ids + [end_id(tokenizer, template)]
    kept = max_tokens
    while tokenizer.decode(ids[:kept]).endswith("\ufffd"):  # in the middle of a character's bytes
        kept -= 1
    if not kept:
        raise InputError(f"--max_caption_tokens {max_tokens}: the first character of the caption {caption[:50]!r} has more "
                         "tokens; give a larger number")
    return ids[:kept]


def instruction_of(prompt_type: str, prompt: str | None = None) -> str:
    """The instruction of `--prompt_type`, or the user's own `--prompt`."""
    return prompt or INSTRUCTIONS[prompt_type]
