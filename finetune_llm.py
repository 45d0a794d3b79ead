"""Stages 2 and 3: teach a projector (and a LoRA adapter) to feed an LLM, from picture embeddings, then from EEG.

    python finetune_llm.py --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --image_dir data/images/ \\
        --eeg_encoder_path ./eeg_encoder_55-95_40_classes --output deepseek_eeg_model_7B_base \\
        --llm_backbone_name_or_path deepseek-ai/deepseek-llm-7b-base

Writes a captioner folder: encoder, projector and adapter (never the LLM's weights), tokenizer, id2label.json, args.json,
train_log.json, train_images.json and val_images.json, the hashes of the pictures it was trained and validated on; with
--label words vocabulary.safetensors and picture_vocabulary.safetensors, of words as EEG and as pictures tell them; with
--exemplars exemplars.safetensors, which holds the training captions.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from runtime import idle_options, locks, options, processes, profiler, seeds, small_models
from runtime.cuda import dtype_of
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import CARRIED, beside, say_next
from runtime.places import check_checkpoint

from language_model.batch_sizes import check_micro_batch


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    options.data_options(parser, required=False)
    options.picture_options(parser, trained="encoder")
    neutral = options.neutral
    group = parser.add_argument_group("model")
    neutral(group.add_argument("--output", help="folder to write the captioner to"))
    options.checked(neutral(group.add_argument("--eeg_encoder_path", help=(
        "encoder of stage 1: a local folder or a Hub id"))), check_checkpoint)
    options.checked(neutral(group.add_argument("--llm_backbone_name_or_path", "--llm", type=small_models.llm,
                                               default=options.LLM, help=(
        "causal LLM: a Hub name, a local folder, or small: SmolLM2-135M, which recipes.make_small_llm makes without a "
        "network"))), small_models.check_llm)
    neutral(group.add_argument("--plan", metavar="GB", nargs="?", type=options.bounded(float, 0), const=0.,
                               help="only say whether the LLM fits a card of this many GB (without a number: this machine) "
                                    "and how it would be trained; this needs nothing but the LLM's config.json"))
    group.add_argument("--load_in_8bit", action="store_true", help="load the LLM in 8 bit (bitsandbytes LLM.int8); on CUDA "
                       "without a precision flag, the first of bf16, 8 bit and 4 bit that fits is taken")
    group.add_argument("--load_in_4bit", action="store_true", help="load the LLM in 4 bit (bitsandbytes nf4)")
    options.code_option(group)
    group.add_argument("--use_lora", action=argparse.BooleanOptionalAction, default=True,
                       help="train a LoRA adapter on the LLM; --no-use_lora freezes the LLM")
    group.add_argument("--lora_r", type=options.positive, default=16, help="rank of the adapter")
    group.add_argument("--lora_alpha", type=options.positive, default=32,
                       help="scale of the adapter; it is divided by the rank")
    group.add_argument("--lora_dropout", type=options.fraction, default=0.05, help="dropout before the adapter")
    group.add_argument("--lora_target", default="all-linear",
                       help="modules that get an adapter: peft's all-linear or a regex")
    group.add_argument("--projector", choices=("mlp", "linear"), default="mlp",
                       help="network from embedding to soft tokens")
    group.add_argument("--soft_tokens", type=options.bounded(int, 0), default=4,
                       help="number of soft tokens made of one EEG embedding; 0: the LLM is only told a class name or "
                            "words, and exemplars. With --no-use_lora nothing is then trained")
    group.add_argument("--prompt_template", choices=("auto", "chat", "plain", "thought2text"), default="auto",
                       help="format of the prompt; auto is the chat template of the tokenizer if it has one, else plain")
    neutral(group.add_argument("--prompt_date", type=options.date, metavar="YYYY-MM-DD",
                               help="date in the prompts of LLMs whose chat template writes one; it is kept with the "
                                    "captioner (unset: the day on which training starts)"))
    group.add_argument("--prompt_type", choices=options.PROMPT_TYPES, default="basic", help="instruction in the prompt; "
                       "inference follows it")
    neutral(group.add_argument("--label", choices=options.LABELS, default="class", help=(  # keys hold what it gives
        "what stands for the class in prompts: its name, words that CLIP's text side finds in the embedding, or "
        "nothing; inference follows it")), "stage2")
    neutral(group.add_argument("--vocabulary", metavar="FILE", help=(
        "with --label words: text file of words or names, one a line (unset: the words of the training captions)")))
    neutral(group.add_argument("--exemplars", type=options.bounded(int, 0, 100), default=0, metavar="N", help=(
        "captions in prompts of the N training pictures whose embeddings are nearest to the decoded one; inference follows "
        "it")), "stage2")
    group.add_argument("--captions", choices=("first", "all"), default="first",
                       help="captions to train on: the first line of <name>_caption.txt, or a random line in each epoch; "
                            "validation takes the first line")
    group.add_argument("--max_caption_tokens", type=options.positive, default=64,
                       help="longest caption in training; longer ones are cut, counted, and not taught to end there")
    group = parser.add_argument_group("stages")
    group.add_argument("--no_stage2", action="store_true", help="skip stage 2 (picture embeddings)")
    neutral(group.add_argument("--no_stage3", action="store_true", help="skip stage 3 (EEG embeddings)"), "stage2")
    neutral(group.add_argument("--saved_pretrained_model_path", help="folder that keeps the results of stage 2; a result "
                               "made with the same options and data is reused (unset: stage2/ in the cache folder)"))
    group.add_argument("--num_epochs_image", type=options.epochs, default=5, help="epochs of stage 2")
    neutral(group.add_argument("--num_epochs_eeg", type=options.epochs, default=5, help="epochs of stage 3"), "stage2")
    neutral(group.add_argument("--train_label", choices=options.TRAIN_LABELS, default="predicted",
                               help="class name or words in the prompts of stage 3: the true ones, those that the encoder "
                                    "predicts, one of the two at random, or those that a linear decoder predicts which was "
                                    "not fitted to the picture; out_of_fold also chooses the exemplars so"), "stage2")
    group.add_argument("--label_dropout", type=options.fraction, default=0.1,
                       help="share of training prompts without a class name")
    group.add_argument("--embedding_dropout", type=options.fraction, default=0.1,
                       help="share of training prompts without the embedding")
    group = options.training_options(parser, batch_size=16, learning_rate=2e-4, warmup_ratio=0.03,
                                     lr_scheduler_type="cosine", max_grad_norm=0.3)
    group.add_argument("--projector_learning_rate", type=options.bounded(float, 0), default=1e-3,
                       help="peak learning rate of the projector, which is trained from scratch")
    neutral(group.add_argument("--gradient_checkpointing", choices=("auto", "on", "off"), nargs="?", const="on",
                               default="auto", help="trade time for memory in the LLM; auto: only if memory is short"))
    group.add_argument("--torch_compile", action="store_true", help="compile the decoder layers of the LLM: faster "
                       "steps after a longer start; needs an adapter (--use_lora) and a C compiler")
    neutral(group.add_argument("--micro_batch_size", type=options.positive, metavar="N", help=(
        "trials computed at a time; a step has --batch_size x --gradient_accumulation_steps of them in any case (unset: on "
        "CUDA as many of a step as memory takes, on a CPU --batch_size)")))
    neutral(group.add_argument("--eval_batch_size", type=options.positive, metavar="N", help=(
        "examples at a time in evaluations, which need less memory (unset: on CUDA what memory takes, on a CPU as in "
        "training)")))
    options.run_options(parser, seeds=True)
    args = options.parse(parser, argv)
    if args.plan is None:
        options.require(parser, args, "eeg_dataset", "output", "eeg_encoder_path")
    if args.no_stage2 and args.no_stage3:
        raise InputError("--no_stage2 and --no_stage3 leave nothing to train; give one of them")
    if args.torch_compile and not args.use_lora:
        raise InputError("--torch_compile: only layers that are trained are compiled, and --no-use_lora freezes all; leave "
                         "one of the two out")
    if args.vocabulary and args.label != "words":
        raise InputError(f"--vocabulary {args.vocabulary}: is for --label words, not {args.label}; give that, or leave it "
                         "out")
    if not args.soft_tokens and args.label == "none" and not args.exemplars:
        raise InputError("--soft_tokens 0 with --label none: the LLM would be told nothing of a trial; give --exemplars, "
                         "another --label, or soft tokens")
    idle_options.say_idle(args, idle_options.FINETUNING)
    check_micro_batch(args)
    options.llm_loading(args)  # a contradiction ends here, before the long work
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> int | None:
    args = parse(argv)
    options.check_places(args)
    if args.seeds:
        return seeds.run_each(main, args)
    if args.plan is not None:
        from captioning.planning import plan_memory

        device = options.resolve_device(args.device) if not args.plan else "cpu" if args.device == "cpu" else "cuda"
        for term, size in plan_memory(args, device).terms.items():
            print(f"{size / 1e9:8.2f} GB  {term}")
        return
    with locks.only_run(args.output, "--output"), profiler.profiled(args.output if args.profile else None, "finetune_llm"):
        _run(args)


def _run(args):
    from runtime.atomic_files import remove_folder
    from runtime.checkpoint_files import begin_saving, written_files
    from runtime.checkpoints import check_output
    from runtime.interrupted import check_interrupted
    from runtime.places import resolve_checkpoint
    from runtime.runs import file_hash, read_run, save_run, training_warnings, write_json
    from runtime.trainer_arguments import training_arguments

    from transformers import set_seed

    from captioning.planning import all_texts, longest_row, lora_options, plan_memory
    from captioning.stages import eeg_stage, image_stage, make_route, part_captions, picture_rows, set_statistics
    from captioning.training import Stage
    from config import EEGModelForCausalLMConfig
    from eegdata.data_paths import find_data
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from encoders import fit_to_encoder, load_encoder
    from encoders.clip import clip_identity, is_classifier_only
    from encoders.picture_settings import picture_settings
    from evaluation.provenance import ENCODER, check_window, new_records, read_records, same_split, write_records
    from language_model import training_plan
    from language_model.compiled import compile_layers
    from language_model.prompt_date import keep_date, start_date, with_date
    from language_model.prompts import choose_template
    from language_model.tokenizer import check_captions, load_tokenizer, save_tokenizer
    from model import EEGModelForCausalLM

    device = options.resolve_device(args.device)
    training_arguments(args, device, args.output)  # refuse wrong flags before the long work
    encoder_folder = resolve_checkpoint(args.eeg_encoder_path, "--eeg_encoder_path")
    settings = picture_settings(args, read_run(encoder_folder)[1], encoder_folder)
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, settings.picture)
    check_output(args.output, EEGModelForCausalLMConfig.model_type)
    check_interrupted(args.output, args.resume, args.overwrite)
    set_seed(args.seed)
    profiler.stage("data")
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    trials.require_pictures()
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index, needed=("train", "val"))
    encoder = load_encoder(args.eeg_encoder_path)
    if is_classifier_only(encoder_folder):
        raise InputError(f"--eeg_encoder_path {args.eeg_encoder_path}: was trained with --loss_weight 0, so it predicts no "
                         "picture embeddings; train an encoder without that option")
    encoders_pictures, warnings = read_records(encoder_folder), training_warnings(encoder_folder)
    if same_split(encoder_folder, trials.fingerprint, paths.splits_path, args.split_num) is False:
        print(f"note: --eeg_encoder_path {args.eeg_encoder_path}: was trained with another split, so trials and people of "
              "this one's test part may be known to it; its pictures are remembered with the captioner")
    check_window(encoder_folder, trials, "--eeg_encoder_path")
    fit_to_encoder(encoder.config, trials, "--eeg_encoder_path")
    if not encoder.config.num_classes:
        trials = trials.without_classes()
    idle_options.say_idle(args, idle_options.of_encoder(encoder.config.num_classes > 0))
    if encoder.config.num_classes != len(trials.class_names):
        raise InputError(f"--eeg_encoder_path {args.eeg_encoder_path}: knows {encoder.config.num_classes} classes, "
                         f"{trials.path} has {len(trials.class_names)}; train an encoder on this data set")
    tokenizer = load_tokenizer(args.llm_backbone_name_or_path)
    template, output = choose_template(tokenizer, args.prompt_template), Path(args.output)
    date = start_date(tokenizer, template, output / "checkpoints" if args.resume else None, args.prompt_date)
    dated = with_date(tokenizer, date)
    names = {part: sorted(set(trials.names(split[part]))) for part in ("train", "val")}
    captions = part_captions(paths.image_dir, names, args.captions)
    check_captions(tokenizer, all_texts(captions))
    trained = args.use_lora or args.soft_tokens
    needed = trained and not args.no_stage2
    needed = needed or args.label == "words" or args.exemplars or args.train_label == "out_of_fold"
    pictures = picture_rows(args, settings, paths, names, encoder.config.embedding_size, device) if needed else {}
    route = make_route(args, settings.clip_model, paths, encoder, trials, split, names, pictures, device)
    class_of = dict(zip(trials.names(slice(None)), trials.words(slice(None)), strict=True))

    profiler.stage("loading the LLM")
    plan = training_plan.plan_as_asked(args) if processes.sharded() else plan_memory(
        args, device, encoder.config.embedding_size,
        **longest_row(args, dated, *route.longest(encoder.config, trials.class_names), captions))
    model = EEGModelForCausalLM.build(
        encoder, args.llm_backbone_name_or_path, device=device, dtype=dtype_of(plan.half),
        loading=plan.loading, lora=lora_options(args),
        embedding_size=encoder.config.embedding_size, projector=args.projector, soft_tokens=args.soft_tokens,
        prompt_template=template, clip_model=settings.clip_model, picture=paths.picture, label=args.label,
        exemplars=args.exemplars)
    if args.torch_compile:
        compile_layers(model.base_llm())
    stage = Stage(model, dated, args, plan, device, date)
    log = {}

    if not trained:
        print("nothing is trained: the LLM is frozen, and there are no soft tokens (--no-use_lora, --soft_tokens 0)")
    if trained and not args.no_stage2:
        profiler.stage("stage 2")
        log["stage2"] = image_stage(args, paths, stage, names, class_of, captions, route, pictures)
    if trained and not args.no_stage3:
        profiler.stage("stage 3")
        log["stage3"] = eeg_stage(args, paths, stage, trials, split, captions, route, pictures)
    set_statistics(stage, trials, split, pictures, log)

    profiler.stage("results")
    plan = stage.plan  # training may have found that it needs smaller batches
    used = asdict(paths) | {"clip_model": settings.clip_model, "time_low": trials.eeg.low, "time_high": trials.eeg.high,
                            "load_in_8bit": plan.loading == "8bit", "load_in_4bit": plan.loading == "4bit",
                            "bf16": plan.half == "bf16", "fp16": plan.half == "fp16", "batch_size": plan.batch_size,
                            "gradient_accumulation_steps": plan.accumulation,
                            "eval_batch_size": plan.evaluation or plan.batch_size,
                            "gradient_checkpointing": plan.checkpointing}
    begin_saving(output)
    model.save_pretrained(output)
    if processes.is_main():
        save_tokenizer(tokenizer, output)
        route.save(output)
    keep_date(date, output)
    write_json(output / "id2label.json", trials.class_names)
    write_json(output / "train_log.json", log)
    write_records(output, new_records(paths.image_dir, names, paths.picture))
    write_records(output / ENCODER, encoders_pictures)
    save_run(output, args, files=written_files(output), used=used, data=trials.fingerprint, source=trials.source,
             splits=file_hash(paths.splits_path), llm=stage.llm,
             clip=clip_identity(settings.clip_model) if pictures else None, warnings=warnings)
    remove_folder(output / "checkpoints")
    print("\n".join([f"captioner written to {output}", *(f"warning: {text}" for text in warnings)]))
    say_next("inference.py", args, carry=(*CARRIED, "trust_remote_code"), model_path=output,
             dest=beside(output, "results/captions.csv"))


if __name__ == "__main__":
    sys.exit(main())
