"""Write captions of the same trials under the controls (noise, shuffled EEG, no EEG) with one loaded model, and under the
baselines, which use the training captions and no LLM. One CSV per condition.

    python inference_chance.py --model_path deepseek_eeg_model_7B_base/ --eeg_dataset data/block/eeg_55_95_std.pth \\
        --splits_path data/block/block_splits_by_image_all.pth --image_dir data/images/ --results_dir ./results
    python inference_chance.py ... --conditions label noise+label --dest results/controls.csv
"""

import sys

from runtime import idle_options, locks, options, profiler, seeds
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import report_folder, say_next

from metrics import conditions


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    options.data_options(parser)
    options.picture_options(parser, trained="captioner")
    group = options.inference_options(parser)
    known = conditions.NAMES
    options.neutral(group.add_argument("--conditions", nargs="+", choices=known, metavar="CONDITION",
                                       help=f"conditions to write, of {', '.join(known)} (unset: all but eeg+label, which "
                                            "inference.py writes)"))
    options.run_options(parser, seeds=True)
    parser.set_defaults(abstain_below=None)  # inference.py's: the controls are for the captions of all trials
    args = options.parse(parser, argv)
    options.check_writing(args)
    idle_options.say_idle(args, idle_options.CONTROLS)
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> int | None:
    args = parse(argv)
    options.check_places(args)
    if args.seeds:
        return seeds.run_each(main, args)
    chosen = args.conditions or [condition for condition in conditions.NAMES if condition != conditions.MODEL_CONDITION]
    files = options.caption_files(args, chosen, suffix=True)
    results = files[chosen[0]].parent
    with locks.only_writer(files, "--dest"), profiler.profiled(results if args.profile else None, "inference_chance",
                                                               "caption batch", first=2, last=2):
        return _run(args, files)


def _run(args, files):
    from captioning.captioner import load_captioner
    from captioning.captions_csv import write_captions

    profiler.stage("loading the captioner")
    captioner = load_captioner(args)
    lacking = {condition: captioner.lacks(condition) for condition in conditions.NAMES}
    others = [condition for condition in files if lacking[condition]]
    if others and args.conditions:
        raise InputError(f"--conditions {others[0]}: needs {lacking[others[0]]}; leave it out, or choose of "
                         f"{', '.join(name for name in lacking if not lacking[name])}")
    for what in dict.fromkeys(lacking[condition] for condition in others):
        left_out = [condition for condition in others if lacking[condition] == what]
        print(f"{', '.join(left_out)} are left out, as they need {what}")
    write_captions(captioner, args, {condition: file for condition, file in files.items() if condition not in others})
    folder = next(iter(files.values())).parent
    say_next("evaluate.py", args, f"{folder}/*.csv", carry=("allow_overlap",), report=report_folder(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
