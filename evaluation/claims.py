"""What a study shows: the model against every control, three verdicts, and a claim that says no more than they do."""

from argparse import Namespace

from runtime.errors import InputError
from runtime.wording import counted, interval, number, p_value

import numpy as np

from metrics.caption_files import Captions, paired_rows
from metrics.conditions import BY_NAME
from metrics.grounding import METRIC, Fit, Grounding, fit_of, grounding
from metrics.statistics import (
    bootstrap_interval,
    codes_of,
    detectable,
    holm,
    known_or_none,
    paired_permutation,
    rows_of,
    units_needed,
)

from .study import Study

ALPHA = 0.05
POWER = 0.8


def compare(study: Study, args: Namespace) -> list[dict]:
    """METRIC of the model minus that of each other condition, on the trials that both hold.

    p: two-sided paired permutation test by picture; p_holm: corrected for the number of conditions compared.
    """
    rows = []
    for condition, file in study.files.items():
        if file is study.model:
            continue
        try:
            theirs, ours = paired_rows(file, study.model)
        except InputError as error:
            if args.compare_to:  # without it the file has this note already, as its reference is the model
                study.notes.append(f"{condition}: not compared: {error}")
            continue
        rows.append({"control": condition, **difference(study.model, file, ours, theirs, args)})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = known_or_none(p)
    return rows


def difference(ours: Captions, theirs: Captions, our_rows: list[int], their_rows: list[int], args: Namespace) -> dict:
    """Mean paired difference of METRIC between two files, with its interval and p."""
    gain = ours.headline[our_rows] - theirs.headline[their_rows]
    pictures = ours.clusters[our_rows]
    low, high = bootstrap_interval(np.mean, gain, clusters=rows_of(ours.factors, our_rows), n_boot=args.n_boot,
                                   seed=args.seed)
    p = float(paired_permutation(gain, np.zeros(len(gain)), clusters=pictures, n_perm=args.n_perm, seed=args.seed))
    return {"n": len(gain), "pictures": len(set(pictures)), "difference": float(gain.mean()), "low": known_or_none(low),
            "high": known_or_none(high), "p": p}


def study_fit(study: Study) -> Fit:
    """How well each of the model's captions fits each picture."""
    model = study.model
    predicted, true = ([name.strip() for name in model.texts(column)] for column in ("Predicted object", "Expected object"))
    return fit_of(model.clean, model.texts("Expected Caption"), model.clusters, predicted, true, model.factors)


def groundings(study: Study, args: Namespace) -> tuple[Grounding | None, Grounding | None]:
    """(of the whole picture, beyond the class name).

    None where nothing can be exchanged or a trial has no predicted class.
    """
    fit = study_fit(study)
    options = {"n_boot": args.n_boot, "n_perm": args.n_perm, "seed": args.seed}
    return grounding(fit, None, **options), grounding(fit, fit.predicted, **options) if all(fit.predicted) else None


def verdict_of(found: Grounding | None, unknown: str) -> dict:
    """{"holds", "difference", "low", "high", "p", "text"} of a Grounding.

    holds is None where it cannot be tested; the text then is `unknown`, which says why.
    """
    if found is None or np.isnan(found.p):
        numbers = {} if found is None else {"difference": found.mean, "low": known_or_none(found.low),
                                            "high": known_or_none(found.high)}
        return {"holds": None, "difference": None, "low": None, "high": None, "p": None, "tests": {}, **numbers,
                "text": unknown}
    numbers = {"difference": found.mean, "low": known_or_none(found.low), "high": known_or_none(found.high), "p": found.p,
               "tests": found.tests, "exchanged": found.exchanged, "n": found.n, "pictures": found.pictures}
    return {"holds": direction(numbers) > 0, **numbers, "text": figures(numbers)}


def direction(numbers: dict) -> int:
    """1 or -1 where p < ALPHA, else 0.

    p decides, since its error rate is known (bench/null_studies.py). The interval resamples people as well as pictures.
    With a handful of people it is far wider than chance alone would make it: it tells what to expect of other people.
    """
    if numbers["p"] is None or numbers["p"] >= ALPHA:
        return 0
    return 1 if numbers["difference"] > 0 else -1


def for_these_people(numbers: dict) -> str:
    """What a claim must add where p is small but the interval, which resamples people as well, includes 0."""
    unsure = numbers["low"] is not None and numbers["low"] <= 0 <= numbers["high"]
    return "; not shown for other people, as the interval that also resamples people includes 0" if unsure else ""


def figures(numbers: dict) -> str:
    """+0.330 ROUGE-1 [0.286, 0.371], p = 0.0001"""
    ends = interval(numbers["low"], numbers["high"]) or "[no interval from one picture]"
    return f"{number(numbers['difference'], sign=True)} {METRIC} {ends}, {p_value(numbers['p'], 4, zero=True)}"


def against_the_best(study: Study, comparisons: list[dict]) -> dict:
    """The verdict on "better than nothing": the model must beat every control and baseline, not their average.

    An intersection-union test: the largest p counts and needs no correction (Berger, Technometrics 24, 1982). Where one is
    not beaten, the worst of all comparisons was picked, so its p is Holm's. There is no verdict unless all controls and
    baselines are there, each on all of the model's trials.
    """
    floors = {row["control"]: row for row in comparisons if row["control"] in floor_conditions(study)}
    missing = [condition for condition in study.missing if BY_NAME[condition].kind != "knows"]
    partial = [condition for condition in floor_conditions(study)
               if condition not in floors or floors[condition]["n"] < len(study.model.table)]
    if missing or partial:
        text = (f"no captions under {', '.join(missing)}" if missing else
                f"{', '.join(partial)} {'does' if len(partial) == 1 else 'do'} not hold the same trials as the model")
        return {"holds": None, "difference": None, "low": None, "high": None, "p": None, "best": None,
                "text": f"{text}; write them with inference_chance.py"}
    unbeaten = [row for row in floors.values() if direction(row) <= 0]
    holds = not unbeaten
    hardest = min(unbeaten or floors.values(), key=lambda row: row["difference"])
    numbers = hardest | {"p": max(row["p"] for row in floors.values()) if holds else hardest["p_holm"]}
    return {"holds": holds, **{key: numbers[key] for key in ("difference", "low", "high", "p", "n", "pictures")},
            "best": hardest["control"],
            "text": f"{hardest['control']}, {figures(numbers)}{'' if holds else ' after Holm correction'}"}


def floor_conditions(study: Study) -> list[str]:
    """The controls and baselines that are there."""
    return [condition for condition in study.files if BY_NAME[condition].kind in ("control", "baseline")]


def floor_to_ceiling(study: Study, args: Namespace) -> dict | None:
    """Where the model stands between the best control or baseline (0) and the picture's own embedding (1).

    None where one is missing or the ceiling is not shown to be higher than the floor.
    """
    names = [*floor_conditions(study), "image"]
    if "image" not in study.files or len(names) < 2:
        return None
    trials = {}
    try:
        for name in names:
            theirs, ours = paired_rows(study.files[name], study.model)
            trials[name] = dict(zip(ours, theirs, strict=True))
    except InputError:
        return None  # `compare` has noted it
    common = sorted(set.intersection(*(set(rows) for rows in trials.values())))
    if not common:
        return None
    scores = np.stack([study.model.headline[common]] + [study.files[name].headline[[trials[name][row] for row in common]]
                                                        for name in names], axis=1)

    def place(rows):
        model, *floors, ceiling = rows.mean(axis=0)
        room = ceiling - max(floors)
        return np.array([room, (model - max(floors)) / room if room > 0 else np.nan])

    means = scores.mean(axis=0)
    floor = int(means[1:-1].argmax())
    low, high = bootstrap_interval(place, scores, clusters=rows_of(study.model.factors, common), n_boot=args.n_boot,
                                   seed=args.seed)
    if not low[0] > 0:
        study.notes.append(f"the picture's own embedding ({number(means[-1])}) is not shown to be better than "
                           f"{names[floor]} ({number(means[1 + floor])}), so there is no range from floor to ceiling")
        return None
    return {"floor": names[floor], "floor_mean": float(means[1 + floor]), "model_mean": float(means[0]),
            "ceiling_mean": float(means[-1]), "position": float(place(scores)[1]), "low": known_or_none(low[1]),
            "high": known_or_none(high[1])}


def by_subject(study: Study, found: Grounding | None, args: Namespace) -> list[dict]:
    """For each person METRIC, that of exchanged captions, and the difference with its interval by picture."""
    if found is None or not isinstance(study.model.factors, tuple):
        return []
    pictures, subjects = study.model.factors
    rows = []
    for subject in sorted(set(subjects), key=lambda name: (len(name), name)):
        chosen = (subjects == subject) & ~np.isnan(found.rows)
        if not chosen.any():
            continue
        low, high = bootstrap_interval(np.mean, found.rows[chosen], clusters=pictures[chosen], n_boot=args.n_boot,
                                       seed=args.seed)
        mean, gain = float(study.model.headline[chosen].mean()), float(found.rows[chosen].mean())
        rows.append({"subject": subject, "n": int(chosen.sum()), "mean": mean, "shuffled": mean - gain, "difference": gain,
                     "low": known_or_none(low), "high": known_or_none(high)})
    return rows


def power(study: Study, found: Grounding | None, effects: list[float]) -> dict | None:
    """How small an effect these pictures could have shown, and how many pictures each of `effects` needs.

    None with fewer than three pictures.
    """
    if found is None:
        return None
    known = ~np.isnan(found.rows)
    codes = codes_of(study.model.clusters[known])
    per_picture = np.bincount(codes, found.rows[known]) / np.bincount(codes)
    if len(per_picture) < 3 or not per_picture.std():
        return None
    spread = float(per_picture.std(ddof=1))
    return {"sd": spread, "pictures": len(per_picture), "trials_per_picture": float(known.sum() / len(per_picture)),
            "detectable": detectable(spread, len(per_picture), ALPHA, POWER), "power_goal": POWER,
            "needed": [{"effect": effect, "pictures": units_needed(effect, spread, ALPHA, POWER)}
                       for effect in effects]}


def claim(study: Study, verdicts: dict) -> str:
    """One or two sentences from the verdicts; they say so where the numbers allow no claim."""
    beyond, any_class, better = (verdicts[key] for key in ("beyond_class", "class", "better_than_nothing"))
    abstained = f", {study.abstained} more without a caption" if study.abstained else ""
    size = f"N = {counted(beyond.get('n'), 'trial')} of {counted(beyond.get('pictures'), 'picture')}{abstained}"
    if beyond["holds"]:
        text = f"Beyond the class name the EEG adds {beyond['text']} ({size}){for_these_people(beyond)}"
    else:
        if any_class["holds"] and beyond["holds"] is None:
            text = f"The captions tell something of what was shown ({any_class['text']}); "
        elif any_class["holds"]:
            only_these = for_these_people(any_class)
            shown = f" ({any_class['text']}{only_these})" if only_these else ""
            text = f"The captions carry the class{shown}; "
        elif any_class["holds"] is None:
            text = ""
        else:
            text = f"No evidence was found that the captions carry the class ({any_class['text']}); "
        if beyond["holds"] is None:
            text += f"whether the captions carry more than the class cannot be tested: {beyond['text']}"
        elif direction(beyond) < 0:
            text += "the trial's own EEG makes them worse than that of other trials of the class: "
            text += f"{beyond['text']} ({size})"
        else:
            text += f"no evidence was found beyond the class: {beyond['text']} ({size})"
    if better["holds"] is None:
        text += f". Whether they beat every control and baseline cannot be tested: {better['text']}."
    elif better["holds"]:
        text += (f". The captions are better than every control and baseline. The smallest gain is over {better['text']}"
                 f"{for_these_people(better)}.")
    elif direction(better) < 0:
        text += f". The captions are worse than the best control or baseline: {better['text']}."
    else:
        text += f". The captions are not shown to be better than the best control or baseline: {better['text']}."
    text = text[0].upper() + text[1:]
    doubts = [doubt["text"] for doubt in study.doubts if doubt["severity"] == "severe"]
    return f"Not to be relied on, since {' and '.join(doubts)}. {text}" if doubts else text


def judge_study(study: Study, args: Namespace) -> dict:
    """Claim, verdicts and what they rest on, as results.json holds them."""
    if study.model is None:
        return {"claim": "No claim: there are no captions under eeg+label. Write them with inference.py.", "verdicts": {},
                "comparisons": [], "range": None, "subjects": [], "power": None}
    whole, beyond = groundings(study, args)
    comparisons = compare(study, args)
    nameless = sum(not name.strip() for name in study.model.texts("Predicted object"))
    why = (f"{nameless} of {len(study.model.table)} trials have no predicted object" if nameless else
           "no trial shares its predicted class with a trial of another picture" if beyond is None else
           "each class has one test picture, so nothing can be exchanged within it")
    verdicts = {"class": verdict_of(whole, "there is only one picture, so nothing can be exchanged"),
                "beyond_class": verdict_of(beyond, why), "better_than_nothing": against_the_best(study, comparisons)}
    return {"claim": claim(study, verdicts), "verdicts": verdicts, "comparisons": comparisons,
            "range": floor_to_ceiling(study, args), "subjects": by_subject(study, beyond or whole, args),
            "power": power(study, beyond or whole, args.effects)}
