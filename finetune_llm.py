"""Stages 2 and 3: teach a projector (and a LoRA adapter) to feed an LLM, from picture embeddings, then from EEG.

    python finetune_llm.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --image_dir data/images/ \\
        --eeg_encoder_path ./eeg_encoder_55-95_40_classes --output deepseek_eeg_model_7B_base \\
        --llm_backbone_name_or_path deepseek-ai/deepseek-llm-7b-base --load_in_8bit --bf16

Writes a captioner folder: encoder, projector and adapter (never the LLM's weights), tokenizer, id2label.json, args.json,
train_log.json, train_images.json and val_images.json, the hashes of the pictures it was trained and validated on.
"""

import argparse
import sys
from pathlib import Path

from runtime import options, processes, profiler
from runtime.errors import InputError, exits_cleanly


def parse(argv):
    parser = options.make_parser(__doc__)
    planning = any(word.split("=")[0] == "--plan" for word in (sys.argv[1:] if argv is None else argv))
    options.data_options(parser, required=not planning)
    options.picture_options(parser)
    group = parser.add_argument_group("model")
    group.add_argument("--output", required=not planning, help="folder to write the captioner to")
    group.add_argument("--eeg_encoder_path", required=not planning, help="encoder of stage 1: a local folder or a Hub id")
    group.add_argument("--llm_backbone_name_or_path", default=options.LLM, help="causal LLM: a Hub name or local folder")
    group.add_argument("--plan", metavar="GB", nargs="?", type=options.bounded(float, 0), const=0., help="say whether the "
                       "LLM fits a card of so many GB, or this machine where no number is given, and how it would be "
                       "trained; nothing else is done, and only the LLM's config.json is needed")
    group.add_argument("--load_in_8bit", action="store_true", help="load the LLM in 8 bit (bitsandbytes LLM.int8); on CUDA "
                       "without a flag of precision: the first of bf16, 8 bit and 4 bit that fits")
    group.add_argument("--load_in_4bit", action="store_true", help="load the LLM in 4 bit (bitsandbytes nf4)")
    group.add_argument("--use_lora", action=argparse.BooleanOptionalAction, default=True,
                       help="train a LoRA adapter on the LLM; --no-use_lora freezes the LLM")
    group.add_argument("--lora_r", type=options.positive, default=16, help="rank of the adapter")
    group.add_argument("--lora_alpha", type=options.positive, default=32, help="scale of the adapter, divided by its rank")
    group.add_argument("--lora_dropout", type=options.fraction, default=0.05, help="dropout before the adapter")
    group.add_argument("--lora_target", default="all-linear", help="modules with an adapter: peft's all-linear or a regex")
    group.add_argument("--projector", choices=("mlp", "linear"), default="mlp", help="from embedding to soft tokens")
    group.add_argument("--soft_tokens", type=options.positive, default=4, help="token embeddings an EEG embedding becomes")
    group.add_argument("--prompt_template", choices=("auto", "chat", "plain", "thought2text"), default="auto",
                       help="how the prompt is written; auto is the tokenizer's chat template where it has one, else plain")
    group.add_argument("--prompt_type", choices=options.PROMPT_TYPES, default="basic", help="instruction in the prompt")
    group.add_argument("--captions", choices=("first", "all"), default="first",
                       help="captions to train on: the first line of <name>_caption.txt, or one of its lines, drawn anew "
                            "in each epoch; validation takes the first")
    group.add_argument("--max_caption_tokens", type=options.positive, default=64, help="training cuts longer captions")
    group = parser.add_argument_group("stages")
    group.add_argument("--no_stage2", action="store_true", help="leave stage 2 (picture embeddings) out")
    group.add_argument("--no_stage3", action="store_true", help="leave stage 3 (EEG embeddings) out")
    group.add_argument("--saved_pretrained_model_path", help="folder that keeps stage 2's results; one made with the same "
                       "options and data is reused (unset: stage2/ in the cache folder)")
    group.add_argument("--num_epochs_image", type=options.epochs, default=5, help="epochs of stage 2")
    group.add_argument("--num_epochs_eeg", type=options.epochs, default=5, help="epochs of stage 3")
    group.add_argument("--train_label", choices=("true", "predicted", "mixed"), default="predicted",
                       help="class name in stage 3's prompts: the true one, the encoder's, or either by a coin")
    group.add_argument("--label_dropout", type=options.fraction, default=0.1, help="share of prompts without a class name")
    group.add_argument("--embedding_dropout", type=options.fraction, default=0.1,
                       help="share of prompts without the embedding")
    group = options.training_options(parser, batch_size=16, learning_rate=2e-4, warmup_ratio=0.03,
                                     lr_scheduler_type="cosine")
    group.add_argument("--projector_learning_rate", type=options.bounded(float, 0), default=1e-3,
                       help="peak learning rate of the projector, which starts from nothing")
    group.add_argument("--gradient_checkpointing", choices=("auto", "on", "off"), nargs="?", const="on", default="auto",
                       help="trade time for memory in the LLM; auto: where memory asks for it")
    options.run_options(parser)
    args = parser.parse_args(argv)
    if args.no_stage2 and args.no_stage3:
        raise InputError("--no_stage2 and --no_stage3 leave nothing to train; give one of them")
    options.llm_loading(args)  # a contradiction ends here, before the long work
    return args


def lora_options(args):
    """peft.LoraConfig's fields, or None for a frozen LLM."""
    return {"r": args.lora_r, "lora_alpha": args.lora_alpha, "lora_dropout": args.lora_dropout,
            "target_modules": args.lora_target} if args.use_lora else None


def longest_row(args, tokenizer, class_names, captions):
    """{"tokens": of the longest prompt with the longest caption, "labels": of that caption}."""
    from language_model.prompts import choose_template, instruction_of, prompt_ids

    template, instruction = choose_template(tokenizer, args.prompt_template), instruction_of(args.prompt_type)
    prompt = max(sum(map(len, prompt_ids(tokenizer, template, instruction, name))) for name in class_names)
    texts = [text for part in captions.values() for given in part.values()
             for text in ([given] if isinstance(given, str) else given)]
    longest = max(map(len, tokenizer(texts, add_special_tokens=False).input_ids))
    labels = min(longest, args.max_caption_tokens) + 1
    return {"tokens": prompt + args.soft_tokens + labels, "labels": labels}


def plan_memory(args, device, embedding_size=512, **row):
    """Choose how the LLM is loaded and trained by what fits, into args; returns the terms of the memory in bytes."""
    from language_model import memory

    shape, lora = memory.shape_of(args.llm_backbone_name_or_path), lora_options(args)
    trained = memory.trained_parameters(shape, lora, args.projector, embedding_size, args.soft_tokens)
    line, terms = memory.plan_training(args, shape, free=memory.free_memory(device, args.plan), trained=trained,
                                           cuda=device != "cpu", lora=lora, **row)
    print(line)
    return terms


def part_captions(args, names):
    """For the train and val part, by picture name: the caption, or with --captions all a list of them to train on."""
    from eegdata.pictures import read_captions

    captions = {part: {name: read_captions(args.image_dir, name) for name in names[part]} for part in names}
    for part in names if args.captions == "first" else ("val",):
        captions[part] = {name: texts[0] for name, texts in captions[part].items()}
    return captions


def image_stage(args, stage, names, class_of, captions):
    """Stage 2, from picture embeddings; returns the trainer's log. class_of: class name by picture name."""
    from datautils import image_embeddings
    from encoders.clip import clip_identity
    from runtime.runs import read_json

    embeddings = {part: image_embeddings(names[part], args.image_dir, args.clip_model, args.picture, stage.device,
                                         args.cache_dir) for part in names}
    size = stage.model.config.embedding_size
    if embeddings["train"].shape[1] != size:
        raise InputError(f"--clip_model {args.clip_model}: embeddings of size {embeddings['train'].shape[1]}, but the "
                         f"encoder was trained towards size {size}; name the same CLIP model")
    clip = clip_identity(args.clip_model)
    record = Path(args.eeg_encoder_path) / "args.json"
    if record.is_file() and read_json(record).get("clip") not in (None, clip):
        raise InputError(f"--clip_model {args.clip_model}: other weights than those that the encoder in "
                         f"{args.eeg_encoder_path} was trained towards; name the same CLIP model")
    return stage.reuse_or_run(
        "image", embeddings, {part: [class_of[name] for name in names[part]] for part in names},
        {part: [captions[part][name] for name in names[part]] for part in names}, args.num_epochs_image, clip=clip)


def eeg_stage(args, stage, trials, split, captions):
    """Stage 3, from EEG embeddings; returns the trainer's log."""
    import torch

    from encoders import encode

    embeddings, labels = {}, {}
    for part in ("train", "val"):
        embeddings[part], logits = processes.shared(
            lambda rows: encode(stage.model.encoder, trials.eeg, rows, device=stage.device), split[part])
        truth, predicted = trials.label[split[part]], logits.argmax(1)
        coin = torch.rand(len(truth), generator=torch.Generator().manual_seed(args.seed)) < 0.5
        chosen = {"true": truth, "predicted": predicted, "mixed": torch.where(coin, truth, predicted)}
        kind = args.train_label if part == "train" else "predicted"  # validated as inference will read it
        labels[part] = [trials.class_names[i] for i in chosen[kind].tolist()]
    return stage.run("eeg", embeddings, labels,
                     {part: [captions[part][name] for name in trials.names(split[part])] for part in captions},
                     args.num_epochs_eeg, Path(args.output) / "checkpoints" / "stage3")


@exits_cleanly
def main(argv=None):
    args = parse(argv)
    if args.plan is not None:
        device = options.resolve_device(args.device) if not args.plan else "cpu" if args.device == "cpu" else "cuda"
        for term, size in plan_memory(args, device).items():
            print(f"{size / 1e9:8.2f} GB  {term}")
        return
    with profiler.profiled(args.output if args.profile else None, "finetune_llm"):
        run(args)


def run(args):
    import torch
    from transformers import set_seed

    from captioning.captioner import load_tokenizer
    from captioning.training import Stage
    from config import EEGModelForCausalLMConfig
    from eegdata.dataset_folder import complete_data
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import fit_to_encoder, load_encoder
    from encoders.clip import clip_identity
    from evaluation.provenance import ENCODER, new_records, read_records, same_split, write_records
    from language_model.prompts import choose_template
    from model import EEGModelForCausalLM
    from runtime.checkpoints import check_output, resolve_checkpoint
    from runtime.runs import file_hash, save_run, write_json

    device = options.resolve_device(args.device)
    options.training_arguments(args, device, args.output)  # refuse wrong flags before the long work
    complete_data(args)
    check_output(args.output, EEGModelForCausalLMConfig.model_type)
    set_seed(args.seed)
    profiler.stage("data")
    trials = load_trials(args.eeg_dataset, args.time_low, args.time_high, args.subject)
    trials.require_pictures()
    split = load_split(args.splits_path, trials, args.split_num, args.splits_index, needed=("train", "val"))
    encoder = load_encoder(args.eeg_encoder_path)
    encoder_folder = resolve_checkpoint(args.eeg_encoder_path, "--eeg_encoder_path")
    encoders_pictures = read_records(encoder_folder)
    if same_split(encoder_folder, trials.fingerprint, args.splits_path, args.split_num) is False:
        print(f"note: --eeg_encoder_path {args.eeg_encoder_path}: was trained with another split, so trials and people of "
              "this one's test part may be known to it; its pictures are remembered with the captioner")
    fit_to_encoder(encoder.config, trials, "--eeg_encoder_path")
    if encoder.config.num_classes != len(trials.class_names):
        raise InputError(f"--eeg_encoder_path {args.eeg_encoder_path}: knows {encoder.config.num_classes} classes, "
                         f"{trials.path} has {len(trials.class_names)}; train an encoder on this data set")
    tokenizer = load_tokenizer(args.llm_backbone_name_or_path)
    names = {part: sorted(set(trials.names(split[part]))) for part in ("train", "val")}
    captions = part_captions(args, names)
    class_of = {name: trials.class_names[label] for name, label in
                zip(trials.names(torch.arange(len(trials))), trials.label.tolist(), strict=True)}

    profiler.stage("loading the LLM")
    if processes.sharded():  # nothing is known yet of what a part of the LLM takes
        args.gradient_checkpointing = args.gradient_checkpointing == "on"
    else:
        plan_memory(args, device, encoder.config.embedding_size,
                    **longest_row(args, tokenizer, trials.class_names.values(), captions))
    model = EEGModelForCausalLM.build(
        encoder, args.llm_backbone_name_or_path, device=device, dtype=torch.bfloat16 if args.bf16 else None,
        loading=options.llm_loading(args), lora=lora_options(args),
        embedding_size=encoder.config.embedding_size, projector=args.projector, soft_tokens=args.soft_tokens,
        prompt_template=choose_template(tokenizer, args.prompt_template), clip_model=args.clip_model, picture=args.picture)
    stage = Stage(model, tokenizer, args, device)
    log, output = {}, Path(args.output)

    if not args.no_stage2:
        profiler.stage("stage 2")
        log["stage2"] = image_stage(args, stage, names, class_of, captions)
    if not args.no_stage3:
        profiler.stage("stage 3")
        log["stage3"] = eeg_stage(args, stage, trials, split, captions)

    profiler.stage("results")
    model.save_pretrained(output)
    if processes.is_main():
        tokenizer.save_pretrained(output)
    write_json(output / "id2label.json", trials.class_names)
    write_json(output / "train_log.json", log)
    write_records(output, new_records(args.image_dir, names, args.picture))
    write_records(output / ENCODER, encoders_pictures)
    save_run(output, args, data=trials.fingerprint, splits=file_hash(args.splits_path),
             clip=None if args.no_stage2 else clip_identity(args.clip_model))
    print(f"captioner written to {output}")


if __name__ == "__main__":
    sys.exit(main())
