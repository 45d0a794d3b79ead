"""Read the folders of a study's model: options, losses, encoder scores.

The study's record names the captioner's folder, and that folder's args.json names the encoder's. A missing file becomes a
note, a broken file an InputError.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from runtime.run_schema import RunRecord
from runtime.runs import read_json
from runtime.schema import Text, check

from eegdata.unchanged import why_other_data
from evaluation.encoder_scores import why_other_trials, why_other_weights

from .schema import EncoderScores, LogEntry, WhenWhere

STAGES = {"stage1": "Stage 1: EEG encoder", "stage2": "Stage 2: captioner on picture embeddings",
          "stage3": "Stage 3: captioner on EEG embeddings"}
MAX_FILE_BYTES = 500_000_000  # of a .pth data set that is read for a report; a data set folder is read row by row


@dataclass
class Run:
    """A study's model: folders (None: not known), what was read from them, and notes."""

    captioner: Path | None = None
    encoder: Path | None = None
    scored: Path | None = None  # the folder of the encoder's scores
    options: dict = field(default_factory=dict)  # file as it is named on the page -> its args.json
    losses: dict = field(default_factory=dict)  # stage -> {"training" | "validation": [(epoch, loss)]}
    scores: dict = field(default_factory=dict)  # the encoder's on the test trials
    when_where: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)  # part of the page -> [what is to be said there]

    def note(self, part: str, text: str) -> None:
        """Add a note to a part of the page."""
        self.notes.setdefault(part, []).append(text)

    def json(self, path: Path, part: str, script: str, form: type, more: str = "") -> dict:
        """A JSON object of a form (runtime.schema); {} where the file is missing, with a note that names the script that
        writes it."""
        if not path.is_file():
            self.note(part, f"{path} is missing. {script} writes it.{more}")
            return {}
        return check(form, read_json(path), path, f"write it again with {script}, or remove the file")


def read_run(provenance: dict, record: dict | None = None) -> Run:
    """Run of a study, from its provenance. record: that of its captions, which says on which trials they were written."""
    run = Run()
    if provenance.get("model_path"):
        run.captioner = Path(provenance["model_path"])
        read_captioner(run)
    if run.encoder:
        read_encoder(run, record or {})
    return run


def read_captioner(run: Run) -> None:
    """Options and losses of the captioner, and where its encoder is."""
    folder = run.captioner
    if not folder.is_dir():
        run.note("options", f"{folder} was not found, so the model's options, losses and encoder scores are missing.")
        return
    content = run.options[f"{folder}/args.json"] = run.json(folder / "args.json", "options", "finetune_llm.py",
                                                                RunRecord)
    read_losses(run, folder, "finetune_llm.py")
    encoder = (content.get("options") or {}).get("eeg_encoder_path")
    if encoder and Path(encoder).is_dir():
        run.encoder = Path(encoder)
    elif encoder:
        run.note("encoder", f"{encoder}, the folder of the EEG encoder, was not found, so its scores are missing.")


def read_encoder(run: Run, record: dict) -> None:
    """Options, losses and scores of the encoder; record: of the captions beside which the scores are shown."""
    folder = run.encoder
    content = run.options[f"{folder}/args.json"] = run.json(folder / "args.json", "options",
                                                                "train_eeg_classifier.py", RunRecord)
    for text in content.get("warnings") or ():
        run.note("encoder", text)
    read_losses(run, folder, "train_eeg_classifier.py")
    scores = run.json(folder / "test" / "scores.json", "encoder", "test_eeg_classifier.py", EncoderScores)
    if why := why_other_weights(folder, scores):
        run.note("encoder", f"{folder / 'test'} holds scores of another encoder ({why}). test_eeg_classifier.py writes new "
                            "ones.")
        return
    run.scores, run.scored = scores, folder / "test"
    trials = scores.get("scored_on") or {}
    if why := why_other_trials(trials, record):
        run.note("encoder", f"{folder / 'test' / 'scores.json'} is of other trials than the captions ({why}).")
    file = folder / "test" / "when_where.json"
    if not file.is_file():
        return
    found = run.json(file, "encoder", "test_eeg_classifier.py --when_and_where", WhenWhere)
    if why := why_other_weights(folder, found):  # the encoder was scored anew without --when_and_where
        run.note("encoder", f"{file} is of another encoder ({why}). test_eeg_classifier.py --when_and_where writes a new "
                            "one.")
    elif why := why_other_trials(found.get("scored_on") or {}, trials):  # as after --subject
        run.note("encoder", f"{file} is of other trials than scores.json beside it ({why}). test_eeg_classifier.py "
                            "--when_and_where writes both of the same.")
    else:
        run.when_where = found


def read_losses(run: Run, folder: Path, script: str) -> None:
    """Loss curves of a folder's train_log.json."""
    log = run.json(folder / "train_log.json", "losses", script, dict[Text, list[LogEntry]],
                   " Without it there are no loss curves.")
    for name, entries in log.items():
        run.losses[name] = loss_curves(run, name, entries)


def loss_curves(run: Run, name: str, entries: list[dict]) -> dict[str, list[tuple[float, float]]]:
    """{"training", "validation"}: (epoch, loss) points of a Trainer's log_history. Losses that are not finite become a
    note."""
    curves = {}
    for curve, key in (("training", "loss"), ("validation", "eval_loss")):
        points = [(entry["epoch"], entry[key]) for entry in entries if key in entry]
        curves[curve] = [point for point in points if all(map(math.isfinite, point))]
        if len(curves[curve]) < len(points):
            run.note("losses", f"{name}: {len(points) - len(curves[curve])} {curve} losses are not finite.")
    if not any(curves.values()):
        run.note("losses", f"{name}: the log holds no losses.")
    return curves


def why_not_readable(path: Path, fingerprint: str | None) -> str:
    """Why the data set at path is not read for the report; "" where it is. fingerprint: that it must have, None: any."""
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        return (f"{path} is a file of {path.stat().st_size / 1e9:.1f} GB, too large to be read for a report; make a data "
                "set folder of it with prepare_data.py")
    return why_other_data(path, fingerprint)
