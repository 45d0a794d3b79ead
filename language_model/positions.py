"""How long a text an LLM takes."""

from runtime.errors import InputError

from transformers import PreTrainedModel


def check_length(llm: PreTrainedModel, tokens: int, what: str, advice: str) -> None:
    """InputError if a text has more tokens than the LLM knows positions. what: the text; advice: what to do.

    An LLM that learned a vector for each position, as GPT-2 and OPT did, has none for more. Others write worse and worse.
    """
    most = getattr(llm.config.get_text_config(), "max_position_embeddings", None)
    if most and tokens > most:
        raise InputError(f"{what}: up to {tokens} tokens, but the LLM ({llm.config.model_type}) takes texts of at most "
                         f"{most} tokens; {advice}")
