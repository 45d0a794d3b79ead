"""What the page shows of a study besides its score tables: warnings, verdicts, range, power, calibration, encoder."""

from runtime.wording import counted, interval, is_number, number, p_number, p_value

from eegdata.source import eeg_text
from evaluation.caveats import repeats_by_design

from .charts import difference_chart, range_chart
from .curves import reliability_chart, risk_chart
from .tables import is_doubted

VERDICT_HEADINGS = {"anything": "Captions tell something of what was shown", "class": "Captions carry {shown}",
                    "beyond_class": "The EEG adds information beyond {others}",
                    "better_than_nothing": "Better than the best control or baseline"}
ANSWERS = {True: ("yes", "yes"), False: ("no evidence", "no"), None: ("not testable", "unknown")}  # text, CSS class
TABLE_COVERAGES = (1.0, 0.9, 0.75, 0.5, 0.25)  # shares answered that the table of abstention lists


def warnings(study: dict, record: dict | None) -> list[tuple[str, str]]:
    """[(severity, sentence)] that the claim must be read with: caveats, and the provenance.

    record: of the model's CSV, None where there is none.
    """
    origin = study["provenance"]
    pictures = origin.get("of_pictures", study["pictures"])  # those without a caption, too, which earlier versions lack
    trained, machine_made = origin.get("trained_on"), origin.get("machine_made")
    # The claim itself states the severe ones.
    found = [("warning", one["text"]) for one in study.get("doubts", []) if one["severity"] == "warning"]
    if trained:
        by_design = repeats_by_design(record or {})  # a caveat says so
        found.append(("warning" if by_design else "severe",
                      f"The model was trained on {trained} of the {pictures} pictures that it is tested on"
                      + (", which --allow_overlap allowed" if origin.get("allowed") else "")
                      + ". Its scores say nothing about pictures that it has not seen."))
    if not study["verdicts"]:
        pass  # no captions of a model, so a record has nothing to say about it
    elif record is None:
        found.append(("warning", f"{study['name']} has no record beside it ({study['name']}.json). So it is not known "
                                 "which model wrote it, which pictures that model was trained on, how often this split was "
                                 "scored, or whether rows were changed or left out. An overlap with the test pictures "
                                 "cannot be ruled out."))
    elif trained is None:
        found.append(("warning", "The checkpoint does not say which pictures it was trained on, so an overlap with the "
                                 "test pictures cannot be ruled out."))
    if machine_made:
        found.append(("warning", f"{machine_made} of the {pictures} true captions were written by a model, not by a "
                                 "person. Scores against them measure similarity to that model's captions."))
    if study.get("missing"):
        found.append(("warning", f"There are no captions under {', '.join(study['missing'])}, so the claim rests on fewer "
                                 "comparisons. Write them with inference_chance.py."))
    if (origin.get("ledger") or {}).get("text"):
        found.append(("note", origin["ledger"]["text"]))
    return found


def verdict_cards(study: dict, alpha: float) -> list[dict]:
    """A card for each verdict: heading, answer, css, numbers, text."""
    one = study.get("classes_a_picture", "one") == "one"
    words = {"shown": "the class" if one else "the objects", "others": study.get("beyond") or "the class name"}
    cards = []
    for key in filter(study["verdicts"].get, VERDICT_HEADINGS):  # results.json of an earlier version lacks some
        heading, verdict = VERDICT_HEADINGS[key].format(**words), study["verdicts"][key]
        answer, css = ANSWERS[verdict.get("holds")]
        if verdict.get("holds") and is_doubted(study):
            answer, css = "doubtful", "unknown"
        known, p = is_number(verdict.get("difference")), verdict.get("p_studies", verdict.get("p"))  # that which decides
        corrected = "p_studies" in verdict or bool(verdict.get("holm"))
        if verdict.get("holds") is False and known and verdict["difference"] < 0 and p < alpha:
            answer = "no, worse"
        cards.append({
            "heading": heading + (f", {verdict['best']}" if verdict.get("best") else ""), "answer": answer, "css": css,
            "difference": number(verdict["difference"], sign=True) if known else "",
            "interval": interval(verdict.get("low"), verdict.get("high")),
            "p": p_value(p, 4, zero=True) + " after Holm correction" * corrected if is_number(p) else "",
            "text": _why(verdict)})
    return cards


def _why(verdict):
    """What a verdict rests on beside its numbers."""
    if verdict.get("holds") is None:
        return verdict.get("text") or ""
    if verdict["holds"] or not is_number(verdict.get("accuracy_gain")):
        return ""
    return (f"The accuracy of the predicted classes is {number(verdict['accuracy_gain'], sign=True)} from chance, "
            f"{p_value(verdict['accuracy_p'], 4, zero=True)}. It must be shown to be above chance, too.")


def range_part(study: dict, metric: str) -> dict | None:
    """{"chart", "floor", "position", "n"} of where the model stands between floor and ceiling; None without such a range.

    n: the trials that it rests on, where they are not all of the model's; else None.
    """
    span = study.get("range")
    if not span:
        return None
    model = next(one for one in study["conditions"] if one["kind"] == "model")

    def point(role, label, css):
        return (role, label, css, span.get(f"{role}_mean"), *(span.get(f"{role}_95") or (None, None)))

    known = is_number(span.get("position"))
    position = f"{100 * span['position']:.0f}% of the range" if known else ""
    if known and span["position"] < 0:
        position = "below the floor"
    elif known and is_number(span.get("low")) and is_number(span.get("high")):
        position += f" [{100 * span['low']:.0f}%, {100 * span['high']:.0f}%]"
    points = [point("floor", span["floor"], "baseline"), point("model", model["condition"], "model"),
              point("ceiling", "image", "knows")]
    points = [one for one in points if is_number(one[3])]
    return {"chart": range_chart(metric, points, position), "floor": span["floor"], "position": position,
            "n": span.get("n") if span.get("n") != model["n"] else None}


def subject_part(study: dict, metric: str) -> dict | None:
    """{"chart", "lines"} of the results by subject; None without any."""
    subjects = study.get("subjects") or []
    if not subjects:
        return None
    rows = [(f"subject {one['subject']}", one["difference"], one["low"], one["high"]) for one in subjects]
    lines = [(one["subject"], one["n"], number(one["mean"]), number(one["shuffled"]), number(one["difference"], sign=True),
              interval(one["low"], one["high"])) for one in subjects]
    return {"chart": difference_chart(f"{metric}: own EEG minus shuffled", rows), "lines": lines}


def power_part(study: dict, metric: str) -> dict | None:
    """{"sentence", "goal", "lines"} of the effects that this study could detect; None where they are unknown."""
    power = study.get("power")
    if not power:
        return None
    goal = f"{100 * power['power_goal']:.0f}%" if is_number(power.get("power_goal")) else "the power asked for"
    sentence = (f"With {counted(power['pictures'], 'test picture')} a true difference of "
                f"{number(power['detectable'])} {metric} is detected with a probability of {goal}. Smaller differences are "
                "likely to be missed, so \"no evidence\" does not mean \"no effect\". The difference has a standard "
                f"deviation of {number(power['sd'])} between pictures.")
    return {"sentence": sentence, "goal": goal, "lines": [
        (number(one["effect"]), f"{one['pictures']:,}" if is_number(one["pictures"]) else "-") for one in power["needed"]]}


def calibration_part(study: dict, metric: str) -> dict | None:
    """{"sentences", "charts", "lines": (share answered, threshold, wrong, score)}; None without probabilities."""
    found = study.get("calibration")
    if not found:
        return None
    ends = interval(found.get("ece_low"), found.get("ece_high"))
    sentences = [f"The encoder's predicted class is right in {number(found.get('accuracy'))} of the trials, and its "
                 f"mean probability is {number(found.get('confidence'))}. The expected calibration error is "
                 f"{number(found.get('ece'))}{f' {ends}' if ends else ''}"
                 + (f"; perfect probabilities would have {number(found['ece_if_calibrated'])} in so few trials"
                    if is_number(found.get("ece_if_calibrated")) else "") + "."]
    if is_number(found.get("aurc")):
        sentences.append(f"The area under the risk-coverage curve is {number(found['aurc'])} (lower is better).")
    if found.get("abstained"):
        sentences.append(f"With --abstain_below the model wrote no caption for {counted(found['abstained'], 'trial')} and "
                         f"one for {found.get('answered')}.")
    curve = [one for one in found.get("risk_coverage") or [] if is_number(one.get("coverage"))]
    chosen = [min(curve, key=lambda one, wanted=wanted: abs(one["coverage"] - wanted))
              for wanted in TABLE_COVERAGES if curve]
    lines = [(number(one["coverage"]), number(one.get("threshold")), number(one.get("risk")), number(one.get("score")))
             for i, one in enumerate(chosen) if one not in chosen[:i]]
    charts = [reliability_chart(found.get("bins") or []), risk_chart(curve, metric)]
    return {"sentences": sentences, "charts": [chart for chart in charts if chart], "lines": lines}


def judge_sentence(study: dict) -> str:
    """Which model judged, and how many ratings are missing; "" without a judge."""
    judge = study.get("judge")
    if not judge:
        return ""
    refused = sum((judge.get("refused") or {}).values())
    cost = f", cost {judge['cost']:.4g}" if is_number(judge.get("cost")) else ""
    missing = (f" {counted(refused, 'rating')} are missing because the answer held none. The means are of the others."
               if refused else "")
    return (f"Judge: {judge['model']}; {counted(judge['rows'], 'row')}, {judge['asked']:,} questions asked, "
            f"{judge['cached']:,} answered from the cache{cost}.{missing}")


def comparison_lines(rows: list[dict] | None, *names: str) -> list[tuple]:
    """(names, difference, interval, p, Holm p, trials, pictures) of tests between captions. names: keys of the rows."""
    return [([one[name] for name in names], number(one["difference"], sign=True), interval(one["low"], one["high"]),
             p_number(one["p"], 4, zero=True), p_number(one["p_holm"], 4, zero=True), one["n"], one.get("pictures"))
            for one in rows or []]


def encoder_lines(scores: dict) -> list[tuple[str, str, str, str]]:
    """(measure, value, 95% interval, chance) texts of test_eeg_classifier.py's scores."""
    def row(what, value, ends=None, chance=None):
        if is_number(value):
            rows.append((what, number(value), interval(*ends) if isinstance(ends, list) and len(ends) == 2 else "",
                         number(chance) if is_number(chance) else ""))

    rows, classes, retrieval = [], scores.get("n_classes"), scores.get("retrieval") or {}
    row("Accuracy (top 1)", scores.get("top1"), scores.get("top1_95"))
    if is_number(classes) and classes > 5:
        row("Accuracy (top 5)", scores.get("top5"), scores.get("top5_95"))
    row("Average precision, mean of the classes", scores.get("average_precision"), scores.get("average_precision_95"),
        scores.get("chance"))
    row("Balanced accuracy", scores.get("balanced_accuracy"), scores.get("balanced_accuracy_95"), scores.get("chance"))
    baseline = scores.get("classical_baseline") or {}
    row("Balanced accuracy, best classical baseline", baseline.get("balanced_accuracy"),
        baseline.get("balanced_accuracy_95"), scores.get("chance"))
    row("Encoder minus best classical baseline", baseline.get("ours_minus_best"), baseline.get("ours_minus_best_95"), 0)
    for name, share in (scores.get("branches") or {}).items():
        row(f"Share of the {name} branch in the class logits", share["logits"])
    for name, baseline in (scores.get("embedding_baseline") or {}).items():
        row(f"Balanced accuracy, {name.replace('_', ' ')} of the embeddings", baseline.get("balanced_accuracy"),
            baseline.get("balanced_accuracy_95"), scores.get("chance"))
    pictures = retrieval.get("n")
    for k in (1, 5):
        if is_number(pictures) and pictures > k:
            row(f"Picture retrieved among {pictures} (top {k})", retrieval.get(f"top{k}"), retrieval.get(f"top{k}_95"),
                retrieval.get(f"top{k}_chance", k / pictures))
    return rows


def encoder_sentence(scores: dict) -> str:
    """The encoder's balanced accuracy against chance; "" where one of the numbers is unknown."""
    value, ends, chance = scores.get("balanced_accuracy"), scores.get("balanced_accuracy_95"), scores.get("chance")
    known = isinstance(ends, list) and len(ends) == 2 and all(map(is_number, [value, chance, *ends]))
    if not known:
        return ""
    name = (scores.get("classical_baseline") or {}).get("name")
    baseline = f" The best classical baseline on the same split is {name}." if name else ""
    place = "above" if ends[0] > chance else "below" if ends[1] < chance else "not distinguishable from"
    return (f"On {scores.get('n')} test trials of {scores.get('n_classes')} classes the class is decoded from "
            f"{eeg_text(scores.get('source') or {})} with a "
            f"balanced accuracy of {number(value)}, {place} chance ({number(chance)}).{baseline}")
