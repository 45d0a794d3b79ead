"""Which LLM fits which card: the table of docs/performance.md, as `finetune_llm.py --plan GB` computes it.

    python -m bench.llm_cards

Nothing is downloaded: the shapes of the LLMs are those of their published config.json.
"""

import sys
import tempfile

from runtime import options
from runtime.errors import InputError, exits_cleanly

import finetune_llm

CARDS = {"CPU, 16 GB": ("cpu", 16), "T4, 16 GB": ("cuda", 15), "24 GB": ("cuda", 24), "A100, 40 GB": ("cuda", 40),
         "H100, 80 GB": ("cuda", 80)}  # name: device, GB that it has
LLMS = {  # name: kind, hidden size, layers, heads, key-value heads, MLP size, vocabulary, whether embeddings are tied
    "SmolLM2-135M (`--llm small`)": ("llama", 576, 30, 9, 3, 1536, 49152, True),
    "Qwen/Qwen2.5-0.5B-Instruct": ("qwen2", 896, 24, 14, 2, 4864, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": ("qwen2", 1536, 28, 12, 2, 8960, 151936, True),
    "meta-llama/Llama-3.2-3B-Instruct": ("llama", 3072, 28, 24, 8, 8192, 128256, True),
    "deepseek-ai/deepseek-llm-7b-base (default)": ("llama", 4096, 30, 32, 32, 11008, 102400, False),
    "mistralai/Mistral-7B-Instruct-v0.3": ("mistral", 4096, 32, 32, 8, 14336, 32768, False),
    "Qwen/Qwen2.5-14B-Instruct": ("qwen2", 5120, 48, 40, 8, 13824, 152064, False),
    "Qwen/Qwen2.5-32B-Instruct": ("qwen2", 5120, 64, 40, 8, 27648, 152064, False),
}
NAMES = {"8bit": "8 bit", "4bit": "4 bit"}


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.llm_cards"
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    parse(argv)
    print(f"| LLM | {' | '.join(CARDS)} |\n|---|{'---|' * len(CARDS)}")
    for name, shape in LLMS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_config(folder, *shape)
            print(f"| {name} | {' | '.join(cell(folder, *card) for card in CARDS.values())} |")


def write_config(folder: str, kind: str, hidden: int, layers: int, heads: int, kv_heads: int, mlp: int, vocabulary: int,
                 tied: bool) -> None:
    """The config.json of an LLM with bfloat16 weights."""
    from transformers import AutoConfig

    AutoConfig.for_model(kind, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, intermediate_size=mlp, vocab_size=vocabulary,
                         tie_word_embeddings=tied, dtype="bfloat16").save_pretrained(folder)


def cell(folder: str, device: str, size: float) -> str:
    """How the LLM is trained on a device with so many GB: precision, trials at a time, checkpointing."""
    from contextlib import redirect_stdout
    from io import StringIO

    from captioning.planning import plan_memory

    args = finetune_llm.parse(["--llm", folder, "--plan", f"{size}", "--device", device])
    try:
        with redirect_stdout(StringIO()):
            plan = plan_memory(args, device)
    except InputError:
        return "no"
    precision = NAMES.get(plan.loading) or ("16 bit" if plan.half else "float32")
    return f"{precision}, {plan.batch_size} at a time" + (" *" if plan.checkpointing else "")


if __name__ == "__main__":
    sys.exit(main())
