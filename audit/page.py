"""The page of a data set: audit.html with findings, facts and figures, and audit.json, from which a run's report takes the
findings.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.runs import file_hash, read_json, write_record
from runtime.schema import check
from runtime.wording import counted, listed

if TYPE_CHECKING:
    from eegdata.trials import Trials

import numpy as np

from eegdata.picture_file import read_picture
from eegdata.pictures import caption_path, machine_made, picture_path, read_captions
from eegdata.source import source_text

from .record_schema import Audit

FORMAT = "eeg-to-text audit 1"
MAX_CLASSES_IN_TABLE = 12  # more are drawn as a figure
MAX_CARDS, CARD_SIZE = 8, 150  # example pictures, and their size in pixels
MAX_NUMBERS = 16  # of a finding
MAX_LISTED = 140  # names in a line of the table of facts
PICTURE_KNOWN = {"yes": "yes, for each trial",
                 "class": "no, only its class; each trial was given a picture of that class in turn",
                 "no": "no, the data set has no pictures"}


def audit_files(path: Path | str, splits_path: Path | str, image_dir: Path | str | None = None, split_num: int = 0,
                subject: int = 0, index: str = "auto", permutations: int = 1000) -> tuple:
    """Audit a data set folder or .pth file over the whole epochs; returns its Trials, its split and the Findings."""
    from eegdata.dataset_folder import read_record
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    from . import run_audit

    window = (0, read_record(path)["n_times"]) if Path(path).is_dir() else (None, None)
    trials = load_trials(path, *window, subject, damaged=True)
    split = load_split(splits_path, trials, split_num, index, needed=())
    return trials, split, run_audit(trials, split, image_dir, permutations)


def made_of(trials: "Trials", splits_path: Path | str, split_num: int) -> dict:
    """What findings apply to: the data, the subject (0: all) and the split."""
    return {"fingerprint": trials.fingerprint, "subject": trials.chosen_subject, "splits": file_hash(splits_path),
            "split_num": split_num}


def write_audit(file: Path | str, findings: list, made_from: dict, facts: dict | None = None) -> None:
    """Write audit.json: findings, worst first, what they apply to, and facts of the data set."""
    write_record(file, plain({"format": FORMAT, "made_from": made_from, "facts": facts or {},
                              "findings": finding_dicts(findings)}))


def read_audit(file: Path | str, made_from: dict) -> list[dict] | None:
    """The findings of an audit.json, as dicts; None where it is absent or applies to other data or another split.

    InputError where it is damaged.
    """
    if not Path(file).is_file():
        return None
    content = read_json(file)
    if content.get("format") != FORMAT or content.get("made_from") != made_from:
        return None
    return check(Audit, content, file, "run prepare_data.py audit again, or remove the file")["findings"]


def write_page(trials: "Trials", split: dict, findings: list, folder: Path | str, splits_path: Path | str,
               split_num: int = 0, image_dir: Path | str | None = None) -> Path:
    """Write audit.json and audit.html of a data set into folder; returns the page's path.

    trials over the whole epoch, split {"train" | "val" | "test": positions}, findings of run_audit; splits_path and
    split_num: where the split is from; image_dir: the pictures, None where they are not available.
    """
    from .evoked import pictures

    facts = facts_of(trials, split, splits_path, split_num, image_dir)
    page = Path(folder) / "audit.html"
    title = f"Data set {'/'.join(Path(trials.path).resolve().parts[-2:])}"
    content = {"title": title, "facts": fact_rows(facts), "steps": facts["steps"], "figures": pictures(trials),
               "claim": simulated(trials) + headline(findings), "findings": finding_texts(findings),
               "counts": count_table(trials, split), "recordings": recording_rows(trials),
               "cards": picture_cards(trials, image_dir)}
    text = render("page.html", content, Path(__file__).parent)
    write_audit(Path(folder) / "audit.json", findings, made_of(trials, splits_path, split_num), facts)
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    return page


def render(template: str, content: dict, *folders: Path | str) -> str:
    """A page as text, from templates in folders. Content is escaped, except for figures, which are Markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(content)


def data_uri(path: Path | str, size: int, kind: str = "JPEG") -> str | None:
    """The picture, at most size x size pixels, as a data URI; None where the file is absent or not a picture."""
    try:
        image = read_picture(path, about=(size, size))
    except InputError:
        return None
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def plain(value: object) -> object:
    """JSON-like content without NumPy's types."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def finding_dicts(findings: list) -> list[dict]:
    """Findings, objects or dicts of an audit.json, as {"check", "severity", "sentence", "numbers"}."""
    return [one if isinstance(one, dict) else plain(vars(one)) for one in findings]


def headline(findings: list) -> str:
    """One sentence on findings, worst first: the first severe one, or that there is none."""
    count = Counter(one.severity for one in findings)
    severe = [one.sentence for one in findings if one.severity == "severe"]
    if severe:
        return f"{count['severe']} severe {'finding' if len(severe) == 1 else 'findings, first'}: {severe[0]}"
    made = len(findings) - count["not checked"]
    warnings = f"; {counted(count['warning'], 'warning')}" if count["warning"] else ""
    missing = f"; {counted(count['not checked'], 'check')} could not be run" if count["not checked"] else ""
    return f"No severe finding in {counted(made, 'check')}{warnings}{missing}."


def simulated(trials: "Trials") -> str:
    """The words that the result of an audit begins with where the EEG is simulated."""
    return "The EEG is simulated. " if trials.source["simulated"] else ""


def summary(findings: list) -> str:
    """Findings for the terminal: a line for each, and one line for all that passed or were not checked."""
    lines = [f"{one.severity}: {one.check}: {one.sentence}" for one in findings
             if one.severity not in ("passed", "not checked")]
    for severity in ("not checked", "passed"):
        names = [one.check for one in findings if one.severity == severity]
        if names:
            lines.append(f"{severity}: {', '.join(names)}")
    return "\n".join(lines)


def finding_texts(findings: list) -> list[dict]:
    """Findings as the template shows them."""
    return [{**one, "numbers": list(number_texts(one["numbers"]))[:MAX_NUMBERS]} for one in finding_dicts(findings)]


def number_texts(numbers: dict, before: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of the numbers and short lists in `numbers`, one level deep; audit.json holds all of them."""
    for key, value in numbers.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from number_texts(value, f"{name}, ") if not before else ()
        elif isinstance(value, float):
            yield name, f"{value:.3g}"
        elif isinstance(value, int | str):
            yield name, str(value)
        elif value and len(value) <= 4 and all(not isinstance(entry, list | dict) and len(str(entry)) <= 60
                                               for entry in value):
            yield name, ", ".join(f"{entry:.3g}" if isinstance(entry, float) else str(entry) for entry in value)


def facts_of(trials: "Trials", split: dict, splits_path: Path | str, split_num: int, image_dir: Path | str | None) -> dict:
    """What is in a data set and its split, JSON-like."""
    from eegdata.splits_file import read_splits_file

    splits, made_from = read_splits_file(splits_path)
    record, labels, subjects = trials.record, trials.groups.tolist(), trials.subject.tolist()
    sessions = {(s, n) for s, n in zip(subjects, trials.session.tolist(), strict=True) if n >= 0}
    names = trials.names(slice(None)) if trials.has_pictures else []
    return {
        "trials": len(trials), "channels": trials.ch_names or trials.eeg.shape[1], "sfreq": trials.sfreq,
        "units": record.get("units"), "scale": record.get("scale"), "tmin": trials.tmin, "n_times": trials.eeg.shape[2],
        "subjects": dict(sorted(Counter(subjects).items())), "sessions": len(sessions),
        "recordings": len(trials.own_recordings) if record else None,
        "classes": {trials.group_names[label]: count for label, count in sorted(Counter(labels).items())},
        "pictures": len(set(names)), "pictures_known": record.get("pictures_known", "yes"),
        "captions": caption_facts(sorted(set(names)), image_dir), "source": record.get("source", ".pth file"),
        "origin": trials.source,
        "steps": (record.get("about") or {}).get("steps", []), "versions": record.get("versions", {}),
        "fingerprint": trials.fingerprint,
        "split": {"name": splits[split_num].get("name"), "number": split_num, "of": len(splits), "made_from": made_from,
                  "parts": {part: len(rows) for part, rows in split.items()}}}


def caption_facts(names: list[str], image_dir: Path | str | None) -> dict | None:
    """{"pictures": {captions of a picture: pictures}, "machine_made": {model: pictures}}; None where there are none."""
    if image_dir is None or not names:
        return None
    made = machine_made(image_dir)
    return {"pictures": dict(sorted(Counter(
        len(read_captions(image_dir, name)) if caption_path(image_dir, name).is_file() else 0 for name in names).items())),
        "machine_made": dict(Counter(made[name] for name in names if name in made))}


def caption_text(pictures: dict, machine_made: dict) -> str:
    texts = [f"{counted(count, 'picture')} with {counted(n, 'caption')}" for n, count in pictures.items()]
    texts += [f"{counted(count, 'picture')} with a caption that a model wrote "
              f"({model})" for model, count in machine_made.items()]
    return ", ".join(texts)


def fact_rows(facts: dict) -> list[tuple[str, str]]:
    """(name, text) lines of the table of facts."""
    channels, start, split = facts["channels"], facts["tmin"], facts["split"]
    length = 1000 * facts["n_times"] / facts["sfreq"]
    units = {"uV": "microvolts", None: "unknown, as in the file"}.get(facts["units"], facts["units"])
    subjects = [f"{name} ({count})" for name, count in facts["subjects"].items()]
    classes = [f"{name} ({count})" for name, count in facts["classes"].items()]
    made = ", ".join(f"{name} {value}".replace("_", " ") for name, value in split["made_from"].items()
                     if name != "data" and value is not False)
    left = facts["trials"] - sum(split["parts"].values())
    return [
        ("Trials", f"{facts['trials']:,}"),
        ("Channels", counted(channels, "channel") + ", unnamed" if isinstance(channels, int) else
         f"{len(channels)}: {listed(channels, MAX_LISTED)}"),
        ("Sampling rate", f"{facts['sfreq']:g} Hz"),
        ("Unit", units + (", then divided by each channel's standard deviation over a recording's trials"
                          if facts["scale"] == "recording" else "")),
        ("Trial", f"{facts['n_times']} samples, " + (f"{length:.0f} ms; the picture's onset is unknown" if start is None
                                                     else f"{1000 * start:.0f} to {1000 * start + length:.0f} ms from the "
                                                          "picture's onset")),
        ("Subjects", f"{counted(len(subjects), 'subject')}, with trials: {listed(subjects, MAX_LISTED)}"),
        ("Sessions", f"{counted(facts['sessions'], 'session')}" if facts["sessions"] else "unknown"),
        ("Recordings", "unknown" if facts["recordings"] is None else counted(facts["recordings"], "recording")),
        ("Classes", f"{counted(len(classes), 'class')}, with trials: {listed(classes, MAX_LISTED)}"),
        ("Is the picture known?", PICTURE_KNOWN[facts["pictures_known"]]),
        ("Pictures", f"{facts['pictures']:,}"),
        ("Captions", caption_text(**facts["captions"]) if facts["captions"] else "none given"),
        ("Split", f"{split['name'] or 'without a name'}, number {split['number']} in a file of {split['of']}"
         + (f"; made with: {made}" if made else "")),
        ("Trials in parts", ", ".join(f"{part} {count:,}" for part, count in split["parts"].items())
         + (f", in no part {left:,}" if left else "")),
        ("Source", facts["source"]), ("EEG", source_text(facts["origin"])), ("Fingerprint", facts["fingerprint"]),
        ("Made with", ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) or "unknown")]


def count_table(trials: "Trials", split: dict) -> dict:
    """Trials by subject, class and part: {"parts", "classes", "rows": [(subject, cells, counts of the parts)], "figures"}.

    The last row is the sum. A cell holds a class's counts in the parts, and whether the class is missing from a part that
    has others. For many classes there are figures, one for each part, in place of rows.
    """
    from .evoked import draw_counts

    subjects, subject = np.unique(trials.subject.numpy(), return_inverse=True)
    labels, label = np.unique(trials.groups.numpy(), return_inverse=True)
    counts = np.zeros((len(split), len(subjects), len(labels)), int)
    for part, rows in enumerate(split.values()):
        np.add.at(counts[part], (subject[rows], label[rows]), 1)
    classes, names = [trials.group_names[one] for one in labels.tolist()], subjects.tolist()
    if len(classes) > MAX_CLASSES_IN_TABLE:
        return {"parts": list(split), "classes": classes, "rows": [], "figures": [
            draw_counts(counts[part], names, classes, f"Trials: {name}") for part, name in enumerate(split)
            if counts[part].any()]}
    lines = [(name, counts[:, place]) for place, name in enumerate(names)]
    if len(lines) > 1:
        lines.append(("all", counts.sum(1)))
    rows = [(name, [(cell.tolist(), bool((line.any(1) & (cell == 0)).any())) for cell in line.T], line.sum(1).tolist())
            for name, line in lines]
    return {"parts": list(split), "classes": classes, "rows": rows, "figures": []}


def recording_rows(trials: "Trials") -> dict:
    """What became of each recording's events: {"lines": [(name, subject, kept, dropped, reasons, notes)], "kept",
    "dropped", "reasons"}; {} for a .pth file, which does not say."""
    entries = trials.own_recordings
    if not entries:
        return {}

    def reasons(dropped):
        return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items(), key=lambda pair: -pair[1]))

    total = Counter()
    for entry in entries:
        total.update(entry["dropped"])
    lines = [(entry["name"], entry["subject"], sum(shard["trials"] for shard in entry["shards"]),
              sum(entry["dropped"].values()), reasons(entry["dropped"]), " ".join(entry["notes"])) for entry in entries]
    return {"lines": lines, "kept": sum(line[2] for line in lines), "dropped": total.total(), "reasons": reasons(total)}


def picture_cards(trials: "Trials", image_dir: Path | str | None) -> list[dict]:
    """A picture and its first caption for each of up to MAX_CARDS classes."""
    if image_dir is None or not trials.has_pictures:
        return []
    cards = []
    for label in np.unique(trials.groups.numpy()).tolist()[:MAX_CARDS]:
        name = trials.names((trials.groups == label).nonzero()[0])[0]
        try:
            caption = read_captions(image_dir, name)[0]
        except InputError:  # the audit names those that are missing
            caption = "no caption"
        cards.append({"class": trials.group_names[label], "name": name, "caption": caption,
                      "picture": data_uri(picture_path(image_dir, name), CARD_SIZE)})
    return cards
