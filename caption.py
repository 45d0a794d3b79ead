"""Caption a new recording: what was shown need not be known, onsets suffice.

    python caption.py --model_path runs/mine/captioner --recording new.edf --events events.tsv
    python caption.py --model_path runs/mine/captioner --recording new.edf --every 1.0 --control --out captions.csv
    python caption.py --model_path runs/mine/captioner --recording new.edf --onsets 3.0 4.5

The recording is filtered, referenced, resampled and cut as the EEG was that the model is trained on; how that was is kept
with the model. Each onset gets a caption and the most probable classes, or "no confident reading" if none is probable
enough. --control shows beside each caption what the same model writes of noise: a fluent sentence is no proof of a reading.
"""

import sys

from runtime import idle_options, locks, options
from runtime.errors import exits_cleanly

from captioning import requests
from sources import new_recording


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    new_recording.add_arguments(parser)
    options.captioner_options(parser)
    group = parser.add_argument_group("captions")
    requests.request_options(group)
    options.neutral(group.add_argument("--out", metavar="CSV", help="file to write, with a record of how it was made "
                                                                    "beside it (unset: only the terminal)"))
    options.run_options(parser, profile=False)
    args = options.parse(parser, argv)
    options.check_writing(args)
    new_recording.check_onsets(args)
    idle_options.say_idle(args, idle_options.CAPTION)
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    options.check_places(args)
    read = (args.recording, args.events)
    files = {"captions": options.csv_file(args.out, "--out", inputs=read)} if args.out else {}
    with locks.only_writer(files, "--out"):
        _run(args, files.get("captions"))


def _run(args, file):
    from runtime.runs import versions
    from runtime.secrets import without_secrets

    import torch

    from captioning.captioner import load_captioner
    from captioning.reading_files import lines, write_readings
    from captioning.readings import readings, threshold, threshold_text
    from encoders import load_encoder
    from encoders.centre import centre_recording
    from encoders.preprocessing import preprocessing_of
    from model import captioner_folder

    request, folder = requests.request_of(args), captioner_folder(args.model_path)
    kept = preprocessing_of(load_encoder(folder / "eeg_encoder", "--model_path").config, folder, args.like)
    new = new_recording.read_new(args, kept)  # before the LLM, which takes long to load
    captioner = load_captioner(args)
    print("\n".join(["the recording was treated as the model's own data:", *(f"  {step}" for step in new.steps),
                     f"  {len(kept.ch_names)} channels: {', '.join(kept.ch_names)}",
                     *(f"note: {note}" for note in new.notes)]))
    eeg = centre_recording(new.eeg, captioner.model.encoder.config, "--recording")
    columns = readings(captioner, torch.from_numpy(eeg), request)
    lowest = threshold(captioner, request)
    print("\n".join(lines(new.time.tolist(), columns)))
    for reason, count in new.dropped.items():
        print(f"{count} onsets gave no trial: {reason}")
    silent = sum(probability < lowest for probability in columns["probability"])
    told = threshold_text(captioner, request)
    print(f"{len(new.time)} trials, {silent} of them without a confident reading. {told}")
    if file:
        write_readings(file, new.time.tolist(), new.events, columns, {
            "options": without_secrets(vars(args)), "versions": versions(), "model": captioner.key, "llm": captioner.llm,
            "other_llm": captioner.other_llm(), "recording": new.hashes, "preprocessing": kept.model_dump(),
            "steps": new.steps, "notes": new.notes, "dropped": new.dropped, "threshold": told})
        print(f"captions written to {file}")


if __name__ == "__main__":
    sys.exit(main())
