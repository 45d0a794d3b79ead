"""What evaluate.py says on the terminal: the verdicts first, then a line for each condition."""

from collections.abc import Iterable

from runtime.wording import counted, interval, number, p_number

from metrics.caption_files import Captions
from metrics.grounding import METRIC

from .tables import main_metrics, without_bleu_twin

MAX_FILE_NAME = 44  # characters of a file's name
BETWEEN = 2  # blanks between columns


def print_verdicts(results: dict) -> None:
    """Print each study's claim, what it rests on, and its caveats."""
    for study in results["studies"]:
        print(f"{study['name']}: {study['claim']}")
        for doubt in study["doubts"]:
            if doubt["severity"] != "severe":  # the claim begins with those
                print(doubt["text"])
        if study["missing"] and study["verdicts"]:
            print(f"no captions under: {', '.join(study['missing'])}")
        place = study["range"]
        if place:
            ends = f" [{place['low']:.0%}, {place['high']:.0%}]" if place["low"] is not None else ""
            position = f"at {place['position']:.0%}{ends}" if place["position"] >= 0 else "below both"
            print(f"range from the best control or baseline ({place['floor']}, {_short(place['floor_mean'])}) to the "
                  f"picture's own embedding ({_short(place['ceiling_mean'])}): the model is {position}"
                  + (f", on the {counted(place['n'], 'trial')} that all of them hold" if place["n"] < study["n"] else ""))
        provenance = study["provenance"]
        if provenance["trained_on"]:
            print(f"--allow_overlap: the model was trained on {provenance['trained_on']} of the "
                  f"{counted(provenance['of_pictures'], 'picture')}")
        if provenance["machine_made"]:
            print(f"the true captions of {counted(provenance['machine_made'], 'picture')} were written by a model")
        if provenance["ledger"]:
            print(provenance["ledger"]["text"])
        print()


def print_seeds(results: dict) -> None:
    """Print mean and standard deviation over seeds, a line for each condition."""
    for group in results["seeds"]:
        print(f"{group['name']}: mean (SD) over the seeds {', '.join(map(str, group['seeds']))}; {group['text']}")
        metrics = main_metrics(group["conditions"][0]["scores"], results["metric"])
        _print_columns([["", *metrics], *([one["condition"], *(
            f"{_short(score['mean'])} ({_short(score['sd'])})" if (score := one["scores"].get(metric)) else "-"
            for metric in metrics)] for one in group["conditions"])])


def print_scores(files: list[Captions], everything: bool) -> None:
    """Print the main metrics of all files, a line for each file; with `everything` a table for each metric."""
    metrics = without_bleu_twin(dict.fromkeys(metric for file in files for metric in file.scores))
    heads = [_shortened(_head(file), MAX_FILE_NAME) for file in files]
    if everything:
        for metric in metrics:
            _print_columns([[metric, "n", "mean", "95% interval", "minus the reference", "p", "Holm p"],
                            *([head, *_tested(file, metric)] for head, file in zip(heads, files, strict=True)
                              if metric in file.scores)])
    else:
        headline = METRIC if METRIC in metrics else metrics[0]
        shown = main_metrics(metrics, headline)
        _print_columns([["", "n", headline, "95% interval", "minus the reference", "p", "Holm p", *shown[1:]],
                        *([head, *_tested(file, headline), *(_short(file.means().get(metric)) for metric in shown[1:])]
                          for head, file in zip(heads, files, strict=True))])
        if len(metrics) > len(shown):
            print(f"{counted(len(metrics) - len(shown), 'more metric')}, with intervals: --all")
    for key in dict.fromkeys(file.against["file"] for file in files if file.against):
        print(f"reference of the differences and p: {key}")
    for file in files:
        for note in file.notes:
            print(f"{file.key}: {note}")
    print()


def print_coco(files: list[Captions]) -> None:
    """Print 100 times the scores over all rows as tables of COCO captions have them, if any file has such."""
    from metrics.coco import table_of

    rows = {file.key: table_of(file.corpus) for file in files}
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    if names:
        print("over all rows, times 100, as tables of COCO captions print them")
        _print_columns([["", *names], *([_shortened(key, MAX_FILE_NAME), *(
            f"{row[name]:.2f}" if name in row else "" for name in names)] for key, row in rows.items())])


def _head(file):
    """The condition, or the file's name where it names none or another file has the same."""
    return f"{file.key} ({file.condition})" if file.condition and not file.source else file.key


def _tested(file, metric):
    """n, mean, interval, difference, p and corrected p of a metric, as texts."""
    if metric not in file.scores:
        return [str(len(file.table)), "-", "", "", "", ""]
    test = (file.against or {}).get(metric)
    tested = [_short(test["difference"], sign=True), *(p_number(test[p], 4) for p in ("p", "p_holm"))] if test else [""] * 3
    return [str(len(file.table)), _short(file.means()[metric]), interval(*file.interval[metric], zero=False), *tested]


def _print_columns(rows: Iterable[list[str]]) -> None:
    """Print rows of texts as columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) + BETWEEN for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        print(f"{first:<{widths[0]}}" + "".join(f"{text:>{width}}" for text, width in zip(rest, widths[1:], strict=True)))
    print()


def _short(value, sign=False):
    """.262: three decimals without the leading zero."""
    return number(value, sign=sign, zero=False)


def _shortened(name, most):
    """The end of a long name, which tells files apart."""
    return name if len(name) <= most else f"...{name[3 - most:]}"
