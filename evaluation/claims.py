"""What a study shows: the model against every control, four verdicts, and a claim that says no more than they do."""

from argparse import Namespace

from runtime.errors import InputError
from runtime.wording import counted, interval, number, p_value

import numpy as np

from metrics.caption_files import COLUMNS, Captions, paired_rows
from metrics.conditions import BY_NAME
from metrics.grounding import METRIC, Fit, Grounding, beyond_the_class, fit_of, look_alikes, of_anything, of_the_class
from metrics.statistics import (
    bootstrap_interval,
    codes_of,
    detectable,
    holm,
    known_ends,
    known_or_none,
    paired_permutation,
    rows_of,
    t_interval,
    units_needed,
)

from .ledger import is_repeated
from .study import Study

ALPHA = 0.05
POWER = 0.8
ROUNDING = 1e-9  # a spread of gains below it is none
ENOUGH_PEOPLE = 10  # with fewer, a claim is of these people
WORDS = {  # of claims, by how many classes a picture has
    "one": {"beyond": "Beyond the class name", "others": "the class name", "class": "the class", "more": "the class",
            "alike": "of the class"},
    "several": {"beyond": "Beyond look-alike pictures, which show the same objects,", "others": "look-alike pictures",
                "class": "the objects", "more": "look-alike pictures", "alike": "with the same objects"},
    "unnamed": {"beyond": "Beyond look-alike pictures, which are of the same class,", "others": "look-alike pictures",
                "class": "the class", "more": "look-alike pictures", "alike": "of the class"},
    "none": {"beyond": "Beyond look-alike pictures", "others": "look-alike pictures", "class": "the objects",
             "more": "look-alike pictures", "alike": "with look-alike pictures"},
}


def words_of(study: Study) -> dict[str, str]:
    """The words of WORDS for a study; "unnamed" where the model names no class of pictures that have one."""
    return WORDS["unnamed" if study.classes == "one" and study.model.without_classes else study.classes]


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
    people = ours.people[our_rows] if ours.people is not None else None
    return {"n": len(gain), "pictures": len(set(pictures)), "difference": float(gain.mean()), "low": known_or_none(low),
            "high": known_or_none(high), "p": p, "people": over_people(gain, people)}


def study_fit(study: Study) -> Fit:
    """How well each of the model's captions fits each picture."""
    model = study.model
    return fit_of(model.clean, model.all_references, model.clusters, model.classes(COLUMNS[2]), model.classes(COLUMNS[1]),
                  model.sittings, model.factors, study.classes == "several")


def groundings(study: Study, fit: Fit, args: Namespace) -> dict[str, Grounding | None]:
    """What captions hold of "anything" that was shown, of "class", the predicted class itself, and of "beyond" the class.

    Where pictures have several classes, what holds the same of them is alike, and "beyond" is beyond look-alike pictures.
    None where nothing can be exchanged, no true class is known, or a trial has no predicted class where it should have one.
    """
    options = {"n_boot": args.n_boot, "n_perm": args.n_perm, "seed": args.seed}
    unnamed, known = study.model.without_classes, study.classes != "none"  # the model names no class; the true are known
    named = known and not unnamed and (study.classes == "several" or all(fit.predicted))
    return {"anything": of_anything(fit, **options), "class": of_the_class(fit, **options) if named else None,
            "beyond": beyond_the_class(fit, **options) if named or (unnamed and known) else None}


def why_untested(fit: Fit, strata: np.ndarray, kind: str = "") -> str:
    """Why there is no Grounding of pictures that are exchanged within `strata` [P]. kind: of these pictures, in words."""
    if len(strata) == 1:
        return "there is only one picture, so nothing can be exchanged"
    if len(set(strata.tolist())) == len(strata):
        return (f"no two test pictures {f'{kind} ' * bool(kind)}were shown in the same recordings, so nothing can be "
                f"exchanged{' within it' * bool(kind)}")
    return f"{counted(len(fit.picture), 'trial')} are too few to tell the picture from what its class and recording explain"


def verdict_of(found: Grounding | None, unknown: str, people: np.ndarray | None = None) -> dict:
    """{"holds", "difference", "low", "high", "p", "people", "text"} of a Grounding.

    people: name of each trial's person, None where unknown. holds is None where it cannot be tested; the text then is
    `unknown`, which says why.
    """
    if found is None:
        return {"holds": None, "difference": None, "low": None, "high": None, "p": None, "people": None, "text": unknown}
    numbers = {"difference": found.mean, "low": known_or_none(found.low), "high": known_or_none(found.high), "p": found.p,
               "n": found.n, "pictures": found.pictures, "people": over_people(found.rows, people)}
    return {"holds": direction(numbers) > 0, **numbers, "text": figures(numbers)}


def class_verdict(anything: dict, of_class: Grounding | None, unknown: str) -> dict:
    """The verdict that captions carry the class: they tell something of what was shown, and the predicted class is right
    more often than by chance. Both must hold, so the larger p counts (Berger, Technometrics 24, 1982)."""
    if anything["holds"] is None or of_class is None:
        return verdict_of(None, unknown)
    numbers = anything | {"p": max(anything["p"], of_class.p), "accuracy_gain": of_class.mean, "accuracy_p": of_class.p}
    return numbers | {"holds": anything["holds"] and of_class.mean > 0 and numbers["p"] < ALPHA, "text": figures(numbers)}


def direction(numbers: dict) -> int:
    """1 or -1 where p < ALPHA, else 0. p decides, since its error rate is known (bench/claim_size.py)."""
    p = numbers.get("p_studies", numbers["p"])
    if p is None or p >= ALPHA:
        return 0
    return 1 if numbers["difference"] > 0 else -1


def over_people(rows: np.ndarray, people: np.ndarray | None) -> dict | None:
    """{"n", "low", "high"}: number of people, and the 95% t interval of their mean gains; None where people are unknown.

    rows [n]: gain of each trial, NaN where it has none. The bootstrap of few people is too narrow: with two people it
    excludes 0 in .142 of studies where .025 is meant. low and high are None for one person.
    """
    if people is None:
        return None
    known = ~np.isnan(rows)
    codes = codes_of(people[known])
    means = np.bincount(codes, rows[known]) / np.bincount(codes)
    low, high = t_interval(means)
    return {"n": len(means), "low": known_or_none(low), "high": known_or_none(high)}


def for_whom(people: dict | None) -> str:
    """What a claim must add on other people than those who were recorded."""
    if people is None:
        return "; for these recordings only, as the files do not name the people"
    if people["n"] == 1:
        return "; for this one person only"
    ends = f"the t interval over people is {interval(people['low'], people['high'])}"
    if people["n"] < ENOUGH_PEOPLE:
        return f"; for these {people['n']} people, {ends}"
    unsure = people["low"] <= 0 <= people["high"]
    return f"; not shown for other people, as {ends}" if unsure else f"; {ends}"


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
                "holm": False, "text": f"{text}; write them with inference_chance.py"}
    unbeaten = [row for row in floors.values() if direction(row) <= 0]
    holds = not unbeaten
    hardest = min(unbeaten or floors.values(), key=lambda row: row["difference"])
    numbers = hardest | {"p": max(row["p"] for row in floors.values()) if holds else hardest["p_holm"]}
    return {"holds": holds, **{key: numbers[key] for key in ("difference", "low", "high", "p", "n", "pictures", "people")},
            "best": hardest["control"], "holm": not holds,
            "text": f"{hardest['control']}, {figures(numbers)}{'' if holds else ' after Holm correction'}"}


def floor_conditions(study: Study) -> list[str]:
    """The controls and baselines that are there."""
    return [condition for condition in study.files if BY_NAME[condition].kind in ("control", "baseline")]


def floor_to_ceiling(study: Study, args: Namespace) -> dict | None:
    """Where the model stands between the best control or baseline (0) and the picture's own embedding (1), on the n trials
    that all of them hold.

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
        return np.array([room, (model - max(floors)) / room if room > 0 else np.nan, model, *floors, ceiling])

    means = scores.mean(axis=0)
    floor = int(means[1:-1].argmax())
    low, high = bootstrap_interval(place, scores, clusters=rows_of(study.model.factors, common), n_boot=args.n_boot,
                                   seed=args.seed)
    if not low[0] > 0:
        study.notes.append(f"the picture's own embedding ({number(means[-1])}) is not shown to be better than "
                           f"{names[floor]} ({number(means[1 + floor])}), so there is no range from floor to ceiling")
        return None
    ends = {f"{role}_95": known_ends((low[2 + at], high[2 + at]))
            for role, at in (("model", 0), ("floor", 1 + floor), ("ceiling", len(names)))}
    return {"n": len(common), "floor": names[floor], "floor_mean": float(means[1 + floor]), "model_mean": float(means[0]),
            "ceiling_mean": float(means[-1]), **ends, "position": float(place(scores)[1]), "low": known_or_none(low[1]),
            "high": known_or_none(high[1])}


def by_subject(study: Study, found: Grounding | None, args: Namespace) -> list[dict]:
    """For each person METRIC, that of exchanged captions, and the difference with its interval by picture."""
    if found is None or study.model.people is None:
        return []
    pictures, subjects = study.model.clusters, study.model.people
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

    None with fewer than three pictures, or where none differs from another, as with one caption for all.
    """
    if found is None:
        return None
    known = ~np.isnan(found.rows)
    codes = codes_of(study.model.clusters[known])
    per_picture = np.bincount(codes, found.rows[known]) / np.bincount(codes)
    spread = float(per_picture.std(ddof=1)) if len(per_picture) >= 3 else 0.
    if spread < ROUNDING:
        return None
    return {"sd": spread, "pictures": len(per_picture), "trials_per_picture": float(known.sum() / len(per_picture)),
            "detectable": detectable(spread, len(per_picture), ALPHA, POWER), "power_goal": POWER,
            "needed": [{"effect": effect, "pictures": units_needed(effect, spread, ALPHA, POWER)}
                       for effect in effects]}


def correct_over_studies(verdicts: list[dict[str, dict]]) -> None:
    """Holm's correction of each verdict's p over the studies of one command, each of a model or of a prompt of one: of ten
    models without any information, one would else be likely to be claimed something of. Adds "p_studies" and takes claims
    back that do not hold with it.

    Captions carry the class only if they tell something at all. So a class that cannot be tested counts with p = 1 where
    that could: the class of one model among many would else be claimed where nothing is shown of its captions.
    """
    for key in dict.fromkeys(key for one in verdicts for key in one):
        family = (key, "anything") if key == "class" else (key,)
        tested = [one for one in verdicts if one and any(one[name]["p"] is not None for name in family)]
        if len(tested) < 2:
            continue
        corrected = holm([1. if study[key]["p"] is None else study[key]["p"] for study in tested])
        for study, p in zip(tested, corrected, strict=True):
            one = study[key]
            if one["p"] is None:
                continue
            one["p_studies"] = float(p)
            one["holds"] = one["holds"] and one["p_studies"] < ALPHA
            one["text"] += f", {p_value(one['p_studies'], 4, zero=True)} corrected for {len(tested)} sets of captions"


def claim(study: Study, verdicts: dict) -> str:
    """One or two sentences from the verdicts, after the severe doubts; they say so where the numbers allow no claim."""
    text = claimed(study, verdicts)
    doubts = [doubt["text"] for doubt in study.doubts if doubt["severity"] == "severe"]
    return f"Not to be relied on, since {' and '.join(doubts)}. {text}" if doubts else text


def claimed(study: Study, verdicts: dict) -> str:
    """What the verdicts say, without the doubts."""
    if study.model is None:
        return "No claim: there are no captions under eeg+label. Write them with inference.py."
    beyond, better = verdicts["beyond_class"], verdicts["better_than_nothing"]
    abstained = f", {study.abstained} more without a caption" if study.abstained else ""
    tested = beyond if beyond.get("n") else verdicts["anything"]
    size = f"N = {counted(tested.get('n'), 'trial')} of {counted(tested.get('pictures'), 'picture')}{abstained}"
    words = words_of(study)
    if beyond["holds"]:
        text = f"{words['beyond']} the EEG adds {beyond['text']} ({size}){for_whom(beyond['people'])}"
    else:
        text = without_more(verdicts, words)
        if beyond["holds"] is None:
            text += f"whether the captions carry more than {words['more']} cannot be tested: {beyond['text']}"
            text += f" ({size})" if tested.get("n") else ""
        elif direction(beyond) < 0:
            text += f"the trial's own EEG makes them worse than that of other trials {words['alike']}: "
            text += f"{beyond['text']} ({size})"
        else:
            text += f"no evidence was found beyond {words['more']}: {beyond['text']} ({size})"
    if better["holds"] is None:
        text += f". Whether they beat every control and baseline cannot be tested: {better['text']}."
    elif better["holds"]:
        text += (f". The captions are better than every control and baseline. The smallest gain is over {better['text']}"
                 f"{for_whom(better['people'])}.")
    elif direction(better) < 0:
        text += f". The captions are worse than the best control or baseline: {better['text']}."
    else:
        text += f". The captions are not shown to be better than the best control or baseline: {better['text']}."
    text = f"{study.eeg['text']}: {text[0].lower()}{text[1:]}"
    text = text[0].upper() + text[1:]
    if is_repeated(study.ledger):
        text += f" These test data were scored {study.ledger['scored']} times"
        text += f", with {counted(study.ledger['models'], 'model')}."
    return text


def without_more(verdicts: dict, words: dict[str, str]) -> str:
    """The part of a claim on captions that are not shown to hold more than the class; "" where nothing can be tested."""
    anything = verdicts["anything"]
    if anything["holds"] is None:
        return ""
    if not anything["holds"]:
        return f"No evidence was found that the captions tell anything of what was shown ({anything['text']}); "
    shown = verdicts["class"] if verdicts["class"]["holds"] else anything
    what = f"carry {words['class']}" if verdicts["class"]["holds"] else "tell something of what was shown"
    return f"The captions {what} ({shown['text']}{for_whom(shown['people'])}); "


def judge_study(study: Study, args: Namespace) -> dict:
    """Verdicts and what they rest on, as results.json holds them."""
    if study.model is None:
        return {"verdicts": {}, "beyond": None, "comparisons": [], "range": None, "subjects": [], "power": None}
    fit = study_fit(study)
    found, comparisons = groundings(study, fit, args), compare(study, args)
    nameless = sum(not name.strip() for name in study.model.texts("Predicted object"))
    unnamed = f"{nameless} of {len(study.model.table)} trials have no predicted object"
    if study.classes == "none":
        nameless, unnamed = 1, "no objects and no words are known by which pictures could be alike"
    elif study.classes == "several" or study.model.without_classes:
        nameless = 0
    why_nothing = why_untested(fit, fit.shown_together)
    why = unnamed if nameless else why_untested(fit, look_alikes(fit), words_of(study)["alike"].replace("of the", "of a"))
    people = study.model.people
    anything = verdict_of(found["anything"], why_nothing, people)
    verdicts = {"anything": anything,
                "class": class_verdict(anything, found["class"],
                                       "the model names no class" if study.model.without_classes else
                                       unnamed if nameless else why_nothing),
                "beyond_class": verdict_of(found["beyond"], why, people),
                "better_than_nothing": against_the_best(study, comparisons)}
    gain = found["beyond"] or found["anything"]
    return {"verdicts": verdicts, "beyond": words_of(study)["others"], "comparisons": comparisons,
            "range": floor_to_ceiling(study, args), "subjects": by_subject(study, gain, args),
            "power": power(study, gain, args.effects)}
