"""How finetuning is made to fit the memory: the adapter, the longest row of the data, and the plan that follows."""

from collections.abc import Iterable

from runtime.cuda import half_of
from runtime.options import Options

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from encoders.words import longest_words
from language_model import memory, training_plan
from language_model.prompts import choose_template, instruction_of, prompt_ids


def lora_options(args: Options) -> dict | None:
    """The fields of peft.LoraConfig, or None for a frozen LLM."""
    return {"r": args.lora_r, "lora_alpha": args.lora_alpha, "lora_dropout": args.lora_dropout,
            "target_modules": args.lora_target} if args.use_lora else None


def all_texts(captions: dict[str, dict[str, str | list[str]]]) -> list[str]:
    """All captions of all parts, as stages.part_captions gives them."""
    return [text for part in captions.values() for given in part.values()
            for text in ([given] if isinstance(given, str) else given)]


def longest_labels(config: PretrainedConfig, class_names: dict[int, str]) -> Iterable[str]:
    """Among them is the longest text that stands for the class name in a prompt; "" where there is none."""
    return {*class_names.values(), longest_words(config, class_names)}


def longest_row(args: Options, tokenizer: PreTrainedTokenizerBase, class_names: Iterable[str], exemplars: tuple[str, ...],
                captions: dict) -> dict[str, int]:
    """The tokens of the longest prompt with the longest caption, and the labels of that caption:
    {"tokens": int, "labels": int}. class_names and exemplars: the longest of a prompt (routes.Route.longest)."""
    template, instruction = choose_template(tokenizer, args.prompt_template), instruction_of(args.prompt_type)
    prompt = max(sum(map(len, prompt_ids(tokenizer, template, instruction, name, exemplars=exemplars)))
                 for name in class_names)
    longest = max(map(len, tokenizer(all_texts(captions), add_special_tokens=False).input_ids))
    labels = min(longest, args.max_caption_tokens) + 1
    return {"tokens": prompt + args.soft_tokens + labels, "labels": labels}


def plan_memory(args: Options, device: str, embedding_size: int = 512, **row: int) -> training_plan.Plan:
    """How to load and train the LLM in the memory that is free; prints the choice."""
    shape, lora = memory.shape_of(args.llm_backbone_name_or_path), lora_options(args)
    trained = memory.trained_parameters(shape, lora, args.projector, embedding_size, args.soft_tokens)
    plan = training_plan.plan_training(args, shape, free=memory.free_memory(device, args.plan), trained=trained,
                                cuda=device != "cpu", lora=lora, half="bf16" if args.plan else half_of(device), **row)
    print(plan.line)
    return plan
