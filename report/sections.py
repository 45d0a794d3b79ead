"""What the template shows of one study beside its score tables: warnings, verdicts, range, power, calibration, encoder."""

from runtime.wording import counted, interval, is_number, number, p_number, p_value

from .charts import difference_chart, range_chart
from .curves import reliability_chart, risk_chart
from .tables import is_doubted, triple

VERDICTS = {"class": "Carries the class", "beyond_class": "Grounding beyond the label",
            "better_than_nothing": "Better than the best control or baseline"}
ANSWERS = {True: ("yes", "yes"), False: ("no evidence", "no"), None: ("not testable", "unknown")}
COVERAGES = (1.0, 0.9, 0.75, 0.5, 0.25)


def warnings(study, record, findings):
    """[(severity, sentence)] of what the claim cannot be read without: the data's severe findings and the provenance.

    record: of the model's CSV, None where there is none.
    """
    origin, pictures = study["provenance"], study["pictures"]
    trained, written = origin.get("trained_on"), origin.get("machine_made")
    found = [("severe", one["sentence"]) for one in findings if one["severity"] == "severe"]
    # What is severe stands in the claim itself.
    found += [("warning", one["text"]) for one in study.get("doubts", []) if one["severity"] == "warning"]
    if trained:
        by_design = (record or {}).get("repeated") == trained  # of a split by people or time; the doubts say so
        found.append(("warning" if by_design else "severe",
                      f"The model was trained on {trained} of the {pictures} pictures that it is tested on"
                      + (", and --allow_overlap let that pass" if origin.get("allowed") else "")
                      + ": its scores say nothing about pictures it has not seen."))
    if not study["verdicts"]:
        pass  # no captions of a model, so nothing that a record could tell of it
    elif record is None:
        found.append(("warning", f"{study['name']} has no record beside it ({study['name']}.json), so neither the model "
                                 "that wrote it nor the pictures that it was trained on are known, nor how often this "
                                 "split was scored, nor whether rows were changed or left out; an overlap with the "
                                 "test pictures cannot be ruled out."))
    elif trained is None:
        found.append(("warning", "The checkpoint does not tell which pictures it was trained on, so an overlap with the "
                                 "test pictures cannot be ruled out."))
    if written:
        found.append(("warning", f"{written} of the {pictures} true captions were written by a model, not by a "
                                 "person: scores against them measure likeness to that model."))
    if study.get("missing"):
        found.append(("warning", f"No captions were given under {', '.join(study['missing'])}; inference_chance.py writes "
                                 "them, and without them the claim rests on less."))
    if (origin.get("ledger") or {}).get("text"):
        found.append(("note", origin["ledger"]["text"]))
    return found


def verdict_cards(study, alpha):
    """A card a verdict: heading, answer, css, numbers, text."""
    cards = []
    for key, heading in VERDICTS.items() if study["verdicts"] else ():
        verdict = study["verdicts"][key]
        answer, css = ANSWERS[verdict.get("holds")]
        if verdict.get("holds") and is_doubted(study):
            answer, css = "doubtful", "unknown"
        known = is_number(verdict.get("difference"))
        if verdict.get("holds") is False and known and verdict["difference"] < 0 and verdict["p"] < alpha:
            answer = "no, worse"
        cards.append({
            "heading": heading + (f", {verdict['best']}" if verdict.get("best") else ""), "answer": answer, "css": css,
            "difference": number(verdict["difference"], sign=True) if known else "",
            "interval": interval(verdict.get("low"), verdict.get("high")),
            "p": p_value(verdict["p"], 4, zero=True) if is_number(verdict.get("p")) else "",
            "text": verdict.get("text") or "" if verdict.get("holds") is None else ""})  # else the numbers say it
    return cards


def range_part(study, metric):
    """{"chart", "sentence"} of where the model stands between floor and ceiling; None where there is no such range."""
    span = study.get("range")
    if not span:
        return None
    by_name = {one["condition"]: one for one in study["conditions"]}
    model = next(one for one in study["conditions"] if one["kind"] == "model")

    def point(role, label, condition, css, mean):
        known = triple(condition, metric)
        return (role, label, css, *((mean, *known[1:]) if known else (mean, None, None)))

    known = is_number(span.get("position"))
    position = f"{100 * span['position']:.0f}% of the range" if known else ""
    if known and span["position"] < 0:
        position = "below the floor"
    elif known and is_number(span.get("low")) and is_number(span.get("high")):
        position += f" [{100 * span['low']:.0f}%, {100 * span['high']:.0f}%]"
    points = [point("floor", span["floor"], by_name.get(span["floor"]), "baseline", span["floor_mean"]),
              point("model", model["condition"], model, "model", (triple(model, metric) or (None,))[0]),
              point("ceiling", "image", by_name.get("image"), "knows", span["ceiling_mean"])]
    points = [one for one in points if is_number(one[3])]
    return {"chart": range_chart(metric, points, position), "floor": span["floor"], "position": position}


def subject_part(study, metric):
    """{"chart", "lines"} of the subjects; None without any."""
    subjects = study.get("subjects") or []
    if not subjects:
        return None
    rows = [(f"subject {one['subject']}", one["difference"], one["low"], one["high"]) for one in subjects]
    lines = [(one["subject"], one["n"], number(one["mean"]), number(one["shuffled"]), number(one["difference"], sign=True),
              interval(one["low"], one["high"])) for one in subjects]
    return {"chart": difference_chart(f"{metric}: own EEG minus shuffled", rows), "lines": lines}


def power_part(study, metric):
    """{"sentence", "lines"} of what this study could have seen; None where it is unknown."""
    power = study.get("power")
    if not power:
        return None
    goal = f"{100 * power['power_goal']:.0f}%" if is_number(power.get("power_goal")) else "the wanted power"
    sentence = (f"With {counted(power['pictures'], 'test picture')} a true difference of {number(power['detectable'])} "
                f"{metric} is found with a probability of {goal}; smaller ones are likely to be missed, so \"no evidence\" "
                f"does not mean \"no effect\". The difference has a standard deviation of {number(power['sd'])} between "
                "pictures.")
    return {"sentence": sentence, "goal": goal, "lines": [
        (number(one["effect"]), f"{one['pictures']:,}" if is_number(one["pictures"]) else "-") for one in power["needed"]]}


def calibration_part(study, metric):
    """{"sentences", "charts", "lines": (share answered, threshold, wrong, score)}; None where no probability is known."""
    found = study.get("calibration")
    if not found:
        return None
    ends = interval(found.get("ece_low"), found.get("ece_high"))
    sentences = [f"The encoder's predicted class is right in {number(found.get('accuracy'))} of the trials, its mean "
                 f"probability is {number(found.get('confidence'))}; the expected calibration error is "
                 f"{number(found.get('ece'))}{f' {ends}' if ends else ''}"
                 + (f", where {number(found['ece_if_calibrated'])} is to be expected of perfect probabilities"
                    if is_number(found.get("ece_if_calibrated")) else "") + "."]
    if is_number(found.get("aurc")):
        sentences.append(f"The area under the risk-coverage curve is {number(found['aurc'])} (lower is better).")
    if found.get("abstained"):
        sentences.append(f"Below --abstain_below the model gave no reading for {counted(found['abstained'], 'trial')} and "
                         f"answered {found.get('answered')}.")
    curve = [one for one in found.get("risk_coverage") or [] if is_number(one.get("coverage"))]
    chosen = [min(curve, key=lambda one, wanted=wanted: abs(one["coverage"] - wanted)) for wanted in COVERAGES if curve]
    lines = [(number(one["coverage"]), number(one.get("threshold")), number(one.get("risk")), number(one.get("score")))
             for i, one in enumerate(chosen) if one not in chosen[:i]]
    charts = [reliability_chart(found.get("bins") or []), risk_chart(curve, metric)]
    return {"sentences": sentences, "charts": [chart for chart in charts if chart], "lines": lines}


def judge_sentence(study):
    """Who judged, and how often it gave no rating."""
    judge = study.get("judge")
    if not judge:
        return ""
    refused = sum((judge.get("refused") or {}).values())
    cost = f", cost {judge['cost']:.4g}" if is_number(judge.get("cost")) else ""
    missing = (f" {counted(refused, 'rating')} are missing, as the answer held none; the means are of the rest."
               if refused else "")
    return (f"Judge: {judge['model']}; {counted(judge['rows'], 'row')}, {judge['asked']:,} questions asked, "
            f"{judge['cached']:,} answered from the cache{cost}.{missing}")


def comparison_lines(rows, *names):
    """(names, difference, interval, p, Holm p, n) texts of tests between captions."""
    return [([one[name] for name in names], number(one["difference"], sign=True), interval(one["low"], one["high"]),
             p_number(one["p"], 4, zero=True), p_number(one["p_holm"], 4, zero=True), one["n"], one.get("pictures"))
            for one in rows or []]


def encoder_lines(scores):
    """(what, value, 95% interval, chance) texts of test_eeg_classifier.py's scores."""
    def row(what, value, ends=None, chance=None):
        if is_number(value):
            rows.append((what, number(value), interval(*ends) if isinstance(ends, list) and len(ends) == 2 else "",
                         number(chance) if is_number(chance) else ""))

    rows, classes, retrieval = [], scores.get("n_classes"), scores.get("retrieval") or {}
    row("Accuracy (top 1)", scores.get("top1"), scores.get("top1_95"))
    if is_number(classes) and classes > 5:
        row("Accuracy (top 5)", scores.get("top5"), scores.get("top5_95"))
    row("Balanced accuracy", scores.get("balanced_accuracy"), scores.get("balanced_accuracy_95"), scores.get("chance"))
    baseline = scores.get("classical_baseline") or {}
    row("Balanced accuracy, classical baseline", baseline.get("balanced_accuracy"), baseline.get("balanced_accuracy_95"),
        scores.get("chance"))
    pictures = retrieval.get("n")
    for k in (1, 5):
        if is_number(pictures) and pictures > k:
            row(f"Picture retrieved among {pictures} (top {k})", retrieval.get(f"top{k}"), retrieval.get(f"top{k}_95"),
                retrieval.get(f"top{k}_chance", k / pictures))
    return rows


def encoder_sentence(scores):
    value, ends, chance = scores.get("balanced_accuracy"), scores.get("balanced_accuracy_95"), scores.get("chance")
    known = isinstance(ends, list) and len(ends) == 2 and all(map(is_number, [value, chance, *ends]))
    if not known:
        return ""
    name = (scores.get("classical_baseline") or {}).get("name")
    baseline = f" The classical baseline on the same split is {name}." if name else ""
    place = "above" if ends[0] > chance else "below" if ends[1] < chance else "not told apart from"
    return (f"On {scores.get('n')} test trials of {scores.get('n_classes')} classes the class is decoded from EEG with a "
            f"balanced accuracy of {number(value)}, {place} chance ({number(chance)}).{baseline}")
