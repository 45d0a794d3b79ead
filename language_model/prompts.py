"""The text around the embedding: from class name and instruction to token ids, and back to a caption."""

from runtime.errors import InputError

import jinja2
from transformers import PreTrainedTokenizerBase

from config import INSTRUCTIONS, SYSTEM_PROMPT

IMAGE = "<image>"  # where the soft tokens go


def choose_template(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """`auto` is the tokenizer's chat template where it has one, else plain text."""
    if template == "chat" and not tokenizer.chat_template:
        raise InputError("--prompt_template chat: this LLM's tokenizer has no chat template; use plain")
    if template != "auto":
        return template
    return "chat" if tokenizer.chat_template else "plain"


def render(tokenizer: PreTrainedTokenizerBase, template: str, instruction: str, label: str | None = None,
           with_image: bool = True) -> str:
    """The prompt as text, with IMAGE where the soft tokens go.

    label None leaves the class name out; with_image False leaves the embedding out. `thought2text` gives the published
    checkpoints' prompts to the letter.
    """
    content = " ".join(part for part in (IMAGE if with_image else "", label or "", instruction) if part)
    if template == "plain":
        return f"{tokenizer.bos_token or ''}{content}"
    if template == "thought2text" and not tokenizer.chat_template:
        return f"<s>System: {SYSTEM_PROMPT}</s>\n<s>User: {content}</s>\n"
    user = [{"role": "user", "content": content}]
    system = [{"role": "system", "content": SYSTEM_PROMPT}] if template == "thought2text" else []
    try:
        return tokenizer.apply_chat_template(system + user, tokenize=False, add_generation_prompt=True)
    except jinja2.TemplateError:  # Gemma's template refuses a system turn
        return tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills a batch; any will do, as masks come from lengths."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def prompt_ids(tokenizer: PreTrainedTokenizerBase, template: str, instruction: str, label: str | None = None,
               with_image: bool = True) -> tuple[list[int], list[int]]:
    """Token ids before and after the soft tokens; without an image all of them come before."""
    before, _, after = render(tokenizer, template, instruction, label, with_image).partition(IMAGE)
    if template == "thought2text":
        after = after.strip()  # as the predecessors' inference did
    return tuple(tokenizer(part, add_special_tokens=False).input_ids if part else [] for part in (before, after))


def caption_ids(tokenizer: PreTrainedTokenizerBase, template: str, caption: str, max_tokens: int) -> list[int]:
    """Token ids of a caption and the end token that the model learns to stop with."""
    space = "" if template == "chat" else " "
    return tokenizer(space + caption, add_special_tokens=False).input_ids[:max_tokens] + [tokenizer.eos_token_id]


def instruction_of(prompt_type: str, prompt: str | None = None) -> str:
    """The instruction of `--prompt_type`, or the user's own `--prompt`."""
    return prompt or INSTRUCTIONS[prompt_type]
