"""Make one HTML page of a run: what the EEG adds to the captions, scores, examples, curves. It opens from disk.

    python -m apps.report runs/demo
    python -m apps.report runs/demo --compare runs/demo_snr0 --output page.html

Pictures are embedded; the page refers to nothing outside itself. The audit of the run's data is taken from the data set,
or made if that holds none, and kept in RUN_DIR/audit.json. Without --compare a run in RUN_DIR/snr0 (the same
with the signal switched off) stands beside, if it is there. The claim on top is drawn from results/*.csv each time.
"""

import sys
from pathlib import Path

from errors import exits_cleanly
from options import bounded, make_parser
from runs import atomic_path


@exits_cleanly
def main(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("run_dir", metavar="RUN_DIR", help="run folder: results/, scores.json, eeg_encoder/, captioner/")
    parser.add_argument("--output", help="page to write (unset: RUN_DIR/report.html)")
    parser.add_argument("--compare", metavar="OTHER_RUN",
                        help="run folder whose scores stand beside (unset: RUN_DIR/snr0 if it is there)")
    parser.add_argument("--examples", type=bounded(int, 0), default=24,
                        help="number of examples, a third each of good, median and bad captions")
    parser.add_argument("--title", help="heading of the page (unset: EEG-to-Text and the run folder's name)")
    args = parser.parse_args(argv)
    import audit.page
    from apps.report_audit import find_audit
    from apps.report_page import page
    from apps.report_run import read_run

    run = read_run(args.run_dir)
    find_audit(run)
    beside = args.compare or (run.folder / "snr0" if (run.folder / "snr0").is_dir() else None)
    other = read_run(beside) if beside else None
    content = page(run, other, args.title or f"EEG-to-Text: {run.folder.resolve().name}", args.examples)
    output = Path(args.output or run.folder / "report.html")
    with atomic_path(output) as temporary:
        # What JSON can hold and UTF-8 cannot, such as half a surrogate pair, becomes a character reference.
        text = audit.page.render("report_page.html", content, Path(__file__).parent, Path(audit.page.__file__).parent)
        temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    print(content["claim"])
    for sentence in content["severe"]:
        print(f"severe finding on the data: {sentence}")
    print(f"wrote {output}")


if __name__ == "__main__":
    sys.exit(main())
