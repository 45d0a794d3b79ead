"""What the numbers of when and where mean, in sentences."""

from collections.abc import Callable

from runtime.wording import counted, interval, joined, number, p_value

from .tables import EVOKED, TOO_EARLY

ALPHA = .05
MAX_RANDOMISED_R = .8  # from this correlation with shuffled weights on, a map shows the input rather than what was learnt


def above_chance(result: dict) -> bool:
    """Whether the interval of the accuracy lies above chance; False without an interval."""
    low = result["balanced_accuracy_95"][0]
    return low is not None and low > result["chance"]


def span(row: dict) -> str:
    """A window in ms: "150-200 ms", "-100 to -50 ms"."""
    return f"{row['from_ms']:.0f}{' to ' if row['from_ms'] < 0 else '-'}{row['to_ms']:.0f} ms"


def sentence(result: dict) -> str:
    """The finding for a reader who does not look at the tables."""
    if not above_chance(result):
        ends = interval(*result["balanced_accuracy_95"], 2, zero=False)
        return ("The encoder is not shown to be above chance on these trials (balanced accuracy "
                f"{_accuracy(result['balanced_accuracy'])}{ends and f' {ends}'}, chance {_chance(result)}), so when "
                "and where it looks cannot be interpreted.")
    sentences = [_occlusion(result, result["windows"], span, f"window of {result['window_ms']:g} ms", "window")]
    if len(result["regions"]) > 1:
        sentences.append(_occlusion(result, result["regions"], lambda row: f"the {row['region']} channels", "region",
                                    "region"))
    return " ".join([*sentences, *_attribution(result), *_too_early(result)])


def _accuracy(value: float) -> str:
    return number(value, 2, zero=False)


def _chance(result: dict) -> str:
    return number(result["chance"], zero=False)


def _too_early(result: dict) -> list[str]:
    """A warning where a window from before anything of the picture can have reached the cortex matters."""
    rows = [row for row in result["windows"] if result["tmin"] is not None and row["to_ms"] <= TOO_EARLY
            and (row["kept_p_holm"] < ALPHA or (row["drop"] > 0 and row["p_holm"] < ALPHA))]
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["kept"])
    alone = f"{_accuracy(worst['kept'])}, {p_value(worst['kept_p_holm'])}"
    return [f"Warning: {span(worst)} gives the class away (alone {alone}; hiding it costs "
            f"{_accuracy(worst['drop'])}, {p_value(worst['p_holm'])}), although nothing of the picture can "
            "have reached the cortex by then. Check the order of presentation, slow drift and the filters with "
            "prepare_data.py audit."]


def _occlusion(result: dict, rows: list[dict], name: Callable[[dict], str], one: str, noun: str) -> str:
    """What hiding each row's part of the input costs, and what it gives alone. name: of a row; one: a row's kind in full,
    noun: in a word."""
    needed, best_alone = max(rows, key=lambda row: row["drop"]), max(rows, key=lambda row: row["kept"])
    whole, drop = _accuracy(result["balanced_accuracy"]), _accuracy(needed["drop"])
    test = f"{p_value(needed['p_holm'])} after Holm's correction for {counted(len(rows), noun)}"
    figures = f"{_accuracy(best_alone['kept'])}, chance {_chance(result)}, {p_value(best_alone['kept_p_holm'])}"
    if best_alone["kept_p_holm"] < ALPHA:
        alone = f"Alone, {name(best_alone)} {'gives' if noun == 'window' else 'give'} the highest accuracy ({figures})."
    else:
        alone = f"Alone, no {one} is shown to be above chance (best: {name(best_alone)}, {figures})."
    if needed["drop"] <= 0 or needed["p_holm"] >= ALPHA:
        return (f"No single {one} is shown to be needed: hiding {name(needed)} costs most, {drop} of the {whole} balanced "
                f"accuracy ({test}). The encoder may use information that is spread out or redundant, or too weak to be "
                f"seen in {counted(result['n'], 'trial')}. {alone}")
    others = sum(row["drop"] > 0 and row["p_holm"] < ALPHA for row in rows) - 1
    more = f" Hiding {counted(others, f'other {noun}')} also has a cost." if others else ""
    return f"Hiding {name(needed)} costs most, {drop} of the {whole} balanced accuracy ({test}).{more} {alone}"


def _attribution(result: dict) -> list[str]:
    found = result["attribution"]
    if found is None:
        return ["There is no map of the attribution, as the gradient is zero everywhere or not finite."]
    sentences = []
    if found["evoked"]:
        regions = [region for region in ("occipital", "parietal") if region in found["evoked_regions"]]
        regions += ["temporal"] if any("temporal" in region for region in found["evoked_regions"]) else []
        sentences.append(f"{found['evoked']['share']:.0%} of the attribution lies in {EVOKED[0]:.0f}-{EVOKED[1]:.0f} ms "
                         f"over {joined(regions)} channels (a uniform map would have {found['evoked']['uniform']:.0%}).")
    if found["early"]:
        sentences.append(f"{found['early']['share']:.0%} lies before {TOO_EARLY:.0f} ms, when nothing of the picture has "
                         f"reached the cortex (a uniform map would have {found['early']['uniform']:.0%}).")
    return sentences


def note_lines(result: dict) -> list[str]:
    """What to know besides: unknown times and places, and the sanity check of the attribution."""
    notes = []
    if result["tmin"] is None:
        notes.append("the data set does not say when the picture appeared, so times count from the start of the trial and "
                     "no response to the picture can be located")
    unknown = [row["channels"] for row in result["regions"] if row["region"] == "unknown"]
    if unknown:
        notes.append(f"{counted(unknown[0], 'channel')} without a known position on the scalp form the region 'unknown'")
    if result["attribution"] and result["attribution"]["randomised_r"] is not None:
        r = result["attribution"]["randomised_r"]
        notes.append(f"the attribution has a rank correlation of {_accuracy(r)} with that of the same encoder with "
                     "shuffled weights" + ("; the map reflects the input more than what was learnt, so rely on the "
                                           "occlusion" if r >= MAX_RANDOMISED_R else ""))
    return notes
