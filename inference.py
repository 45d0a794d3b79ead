"""Write captions for EEG: for one part of a split to a CSV, or for one trial or file to the terminal.

    python inference.py --model_path deepseek_eeg_model_7B_base/ --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --image_dir data/images/ \\
        --prompt_type detailed --device cuda:0 --results_dir ./results
    python inference.py --model_path ... --eeg_dataset ... --trial 17
    python inference.py --model_path ... --eeg_file recording.npy
"""

import sys

from runtime import idle_options, locks, options, profiler, seeds
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import CARRIED, say_next

from metrics import conditions
from metrics.caption_files import ABSTAINED

WRITING = (  # of the controls too
    "llm_backbone_name_or_path", "load_in_8bit", "load_in_4bit", "bf16", "fp16", "batch_size", "prompt_type", "prompt",
    "max_new_tokens", "min_new_tokens", "do_sample", "temperature", "top_p", "repetition_penalty", "guidance", "candidates",
    "label", "clip_model", "seed", "trust_remote_code", "allow_overlap")
ONE_TRIAL = tuple(condition.name for condition in conditions.TABLE if condition.one_trial)


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    options.data_options(parser, required=False)
    options.picture_options(parser, trained="captioner")
    group = options.inference_options(parser)
    known = conditions.NAMES
    options.neutral(group.add_argument(
        "--condition", choices=known, metavar="CONDITION", default=conditions.MODEL_CONDITION,
        help="what the LLM is shown: the EEG embedding and the predicted class, or a control in their place; or a baseline "
             f"without an LLM; one of {', '.join(known)}"))
    group.add_argument("--abstain_below", type=options.fraction, metavar="P",
                       help=f"write '{ABSTAINED}' instead of a caption if the probability of the predicted class is "
                            "below P; it is rounded to 4 decimals (unset: caption every trial)")
    group.add_argument("--trial", type=options.bounded(int, 0), help="caption only this record of --eeg_dataset, on the "
                       "terminal")
    group.add_argument("--eeg_file", help="caption one file, on the terminal: .npy, .pt or .csv of [channels, "
                                          "samples], scaled like the training data")
    options.run_options(parser, seeds=True)
    args = options.parse(parser, argv)
    options.check_writing(args)
    if args.trial is not None and args.eeg_file:
        raise InputError(f"--trial {args.trial} and --eeg_file {args.eeg_file}: only one trial can be captioned; "
                         "give one of them")
    idle_options.say_idle(args, idle_options.INFERENCE)
    if args.trial is None and not args.eeg_file:
        return args
    one = f"--trial {args.trial}" if args.trial is not None else f"--eeg_file {args.eeg_file}"
    if args.dest:
        raise InputError(f"--dest {args.dest}: {one} is captioned on the terminal and no CSV is written; leave --dest out, "
                         f"or leave {one} out to caption a whole split")
    if args.condition not in ONE_TRIAL:
        raise InputError(f"--condition {args.condition}: needs a whole split; {one} takes {', '.join(ONE_TRIAL)}")
    return args


def _trial_of_data_set(captioner, args):
    """EEG [1, C, T] of the record --trial; prints a note if the captioner was trained on its picture."""
    import torch

    from captioning.captions_csv import check_model_fits
    from eegdata.data_paths import find_data
    from eegdata.trials import load_trials
    from evaluation.provenance import trained_on

    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir, needed=())
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    check_model_fits(captioner, trials)
    found = torch.nonzero(trials.trial == args.trial).flatten()
    if not len(found):
        raise InputError(f"--trial {args.trial}: {args.eeg_dataset} has records 0..{len(trials.record_images) - 1}, or "
                         "this one was left out (subject, window)")
    known = trials.knows_pictures and trained_on(captioner.folder, paths.image_dir, trials.names(found))
    if known:
        print(f"note: the captioner was trained on the picture of this trial, {known[0]}, so the caption says nothing "
              "about new pictures")
    return trials.eeg[found]


def _caption_one(captioner, args):
    """Caption one record or one file; returns (predicted class name, its probability, caption)."""
    from captioning.captioner import read_eeg_file

    if args.eeg_file:
        eeg = read_eeg_file(args.eeg_file, captioner.model.encoder.config)
    else:
        eeg = _trial_of_data_set(captioner, args)
    embeddings, predicted, probability = captioner.read(eeg)
    name = predicted[0]
    if float(probability) < (args.abstain_below or 0):
        return name, float(probability), ABSTAINED
    condition = conditions.BY_NAME[args.condition]
    label = captioner.route.labels(embeddings, predicted)[0] if condition.label else None
    texts = captioner.generate(embeddings, [label], condition.embedding is not None,
                               captioner.instruction(args.prompt_type, args.prompt), batch_size=1,
                               seed=args.seed, **options.generation_options(args))
    return name, float(probability), texts[0]


@exits_cleanly
def main(argv: list[str] | None = None) -> int | None:
    args = parse(argv)
    options.check_places(args)
    if args.seeds:
        return seeds.run_each(main, args)
    files = options.caption_files(args, [args.condition], suffix=False)
    results = files[args.condition].parent
    written = {} if args.trial is not None or args.eeg_file else files
    with locks.only_writer(written, "--dest"), profiler.profiled(results if args.profile else None, "inference",
                                                               "caption batch", first=2, last=2):
        return _run(args, files)


def _run(args, files):
    from captioning.captioner import load_captioner

    profiler.stage("loading the captioner")
    captioner = load_captioner(args)
    lacking = captioner.lacks(args.condition)
    if lacking:
        raise InputError(f"--condition {args.condition}: needs {lacking}; leave the option out, or choose of "
                         f"{', '.join(name for name in conditions.NAMES if not captioner.lacks(name))}")
    profiler.stage("captions")
    if args.trial is not None or args.eeg_file:
        name, probability, text = _caption_one(captioner, args)
        print(f"predicted class: {name} (probability {probability:.2f})\ncaption: {text}" if name else f"caption: {text}")
        return 0
    from captioning.captions_csv import write_captions

    write_captions(captioner, args, files)
    if args.split == "test" and args.condition == conditions.MODEL_CONDITION:
        file = files[args.condition]  # to whose name the controls add a --prompt_type that is given
        say_next("inference_chance.py", args, carry=(*CARRIED, *WRITING), model_path=args.model_path,
                 dest=args.dest or file.with_name(f"{file.stem.removesuffix(f'_{args.prompt_type}')}.csv"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
