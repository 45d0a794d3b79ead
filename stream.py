"""Caption EEG while it is recorded, from a stream of the Lab Streaming Layer (LSL).

    python stream.py --model_path runs/mine/captioner --lsl NAME --markers MARKERS --calibrate earlier.edf
    python stream.py --model_path runs/mine/captioner --lsl NAME --every 1.0

Each marker, or each moment of a fixed rhythm, gives a trial, which is processed as a trial of a whole recording. What
depends on a whole recording is settled before: --calibrate names an earlier one of the same person and device, from which
the scale of the channels is taken. At the end, latency, lost samples and reconnects are printed. Ctrl-C ends it at once,
and --out has what was captioned by then. `python -m sources.replay` sends a recorded file as an amplifier does.
"""

import sys

from runtime import idle_options, locks, options
from runtime.errors import exits_cleanly

from captioning import requests
from sources import lsl, new_recording


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    group = parser.add_argument_group("stream")
    group.add_argument("--lsl", required=True, metavar="NAME", help="name of the EEG stream")
    which = group.add_mutually_exclusive_group(required=True)
    which.add_argument("--markers", metavar="NAME", help="name of the stream of markers, each of which is an onset")
    which.add_argument("--every", type=options.bounded(float, .01), metavar="SECONDS", help="an onset in every so many "
                                                                                            "seconds")
    group.add_argument("--event_names", metavar="REGEX", help="use only markers that match this regular expression as a "
                                                              "whole")
    group.add_argument("--event_delay", type=options.bounded(float, -10, 10), default=0., metavar="SECONDS",
                       help="time from each marker to the picture on the screen")
    group.add_argument("--wait", type=options.bounded(float, 0), default=10., help="seconds to wait for a stream, also for "
                                                                                   "one that was lost")
    group.add_argument("--seconds", type=options.bounded(float, 0), help="stop after so many seconds of EEG (unset: when "
                                                                         "the stream ends)")
    group.add_argument("--trials", type=options.positive, help="stop after so many captions")
    group = parser.add_argument_group("processing")
    group.add_argument("--calibrate", metavar="PATH", help="earlier recording of the same person and device, with events "
                       "of the same names, that gives the scale of the channels (unset: the trials so far)")
    group.add_argument("--bads", metavar="NAME,...", default="", help="bad channels, which are interpolated")
    group.add_argument("--interpolate", action="store_true", help="interpolate missing channels (unset: refuse)")
    group.add_argument("--like", metavar="DATA", help="data set folder that was prepared as the model's data were, for "
                                                      "models that do not say themselves how that was")
    options.captioner_options(parser)
    group = parser.add_argument_group("captions")
    requests.request_options(group)
    options.neutral(group.add_argument("--out", metavar="CSV", help="file to write at the end (unset: only the terminal)"))
    options.run_options(parser, profile=False)
    args = options.parse(parser, argv)
    options.check_writing(args)
    new_recording.check_onsets(args)
    idle_options.say_idle(args, idle_options.STREAM)
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    options.check_places(args)
    lsl.require_lsl("--lsl")
    files = {"captions": options.csv_file(args.out, "--out", inputs=[args.calibrate])} if args.out else {}
    with locks.only_writer(files, "--out"):
        _run(args, files.get("captions"))


def _run(args, file):
    from runtime.runs import versions
    from runtime.secrets import without_secrets

    from captioning.captioner import load_captioner
    from captioning.conditions import check_noise
    from captioning.live import Session, run, summary
    from captioning.reading_files import write_readings
    from captioning.readings import threshold_text
    from encoders.centre import refuse_single_trials
    from encoders.preprocessing import preprocessing_of

    request, captioner, session = requests.request_of(args), load_captioner(args), Session()
    refuse_single_trials(captioner.model.encoder.config, f"--model_path {args.model_path}",
                         "a stream gives one after the other")
    check_noise(request.controls, 1, captioner.learned)
    kept = preprocessing_of(captioner.model.encoder.config, captioner.folder, args.like)
    told = ["ended before its time"]
    try:
        told = [*summary(*run(args, captioner, kept, request, session), session), threshold_text(captioner, request)]
        print("\n".join(told))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{len(session.whole().time)} trials captioned") from None
    finally:  # a session cannot be repeated, however it ends
        done = session.whole()
        if file and done.time:
            write_readings(file, done.time, done.events, done.columns, {
                "options": without_secrets(vars(args)), "versions": versions(), "model": captioner.key,
                "llm": captioner.llm, "other_llm": captioner.other_llm(), "preprocessing": kept.model_dump(),
                "session": told})
            print(f"captions written to {file}")


if __name__ == "__main__":
    sys.exit(main())
