"""What the numbers of when and where mean, in sentences."""

from .tables import EVOKED, TOO_EARLY

ALPHA = .05
ECHO = .8  # from this correlation with shuffled weights on, a map says little of what was learnt


def number(value, digits=2):
    """.21 for 0.21, -.21 for -0.21; 1.00 and 10.00 stay."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def p_value(p):
    return "p < .001" if p < .001 else f"p = {p:.3f}".replace("0.", ".") if p < .9995 else "p = 1"


def above_chance(result):
    """Whether the interval of the accuracy lies above chance; without an interval nothing is shown."""
    low = result["balanced_accuracy_95"][0]
    return low is not None and low > result["chance"]


def span(row):
    return f"{row['from_ms']:.0f}{' to ' if row['from_ms'] < 0 else '-'}{row['to_ms']:.0f} ms"


def sentence(result):
    """The finding for a reader who does not look at the tables."""
    if not above_chance(result):
        low, high = result["balanced_accuracy_95"]
        interval = "" if low is None else f" [{number(low)}, {number(high)}]"
        return ("The encoder is not above chance as far as these trials show (balanced accuracy "
                f"{number(result['balanced_accuracy'])}{interval}, chance {number(result['chance'], 3)}), so where it "
                "looks means nothing.")
    said = [_occlusion(result, result["windows"], span, f"window of {result['window_ms']:g} ms", "windows")]
    if len(result["regions"]) > 1:
        said.append(_occlusion(result, result["regions"], lambda row: f"the {row['region']} channels", "region",
                               "regions"))
    return " ".join([*said, *_attribution(result), *_too_early(result)])


def _too_early(result):
    """A warning where a window from before anything of the picture can have reached the cortex matters."""
    rows = [row for row in result["windows"] if result["tmin"] is not None and row["to_ms"] <= TOO_EARLY
            and (row["kept_p_holm"] < ALPHA or (row["drop"] > 0 and row["p_holm"] < ALPHA))]
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["kept"])
    return [f"Beware: {span(worst)} counts (alone {number(worst['kept'])}, {p_value(worst['kept_p_holm'])}; hidden "
            f"{number(worst['drop'])} lost, {p_value(worst['p_holm'])}) though nothing of the picture can have reached the "
            "cortex by then: suspect the order of presentation, drift, or a filter that smears (prepare_data.py audit)."]


def _occlusion(result, rows, name, one, several):
    most, alone = max(rows, key=lambda row: row["drop"]), max(rows, key=lambda row: row["kept"])
    whole, test = number(result["balanced_accuracy"]), f"after Holm's correction for {len(rows)} {several}"
    told = f"({number(alone['kept'])}, chance {number(result['chance'], 3)}, {p_value(alone['kept_p_holm'])})"
    if alone["kept_p_holm"] < ALPHA:
        kept = f"alone, {name(alone)} {'gives' if several == 'windows' else 'give'} most {told}"
    else:
        kept = f"alone, no {one} is shown to be above chance (best: {name(alone)}, {told[1:]}"
    if most["drop"] <= 0 or most["p_holm"] >= ALPHA:
        return (f"No single {one} is shown to be needed (hiding {name(most)} costs most, {number(most['drop'])} of the "
                f"{whole} balanced accuracy, {p_value(most['p_holm'])} {test}): what the encoder uses is spread, is there "
                f"more than once, or is too little to be seen in {result['n']} trials; {kept}.")
    others = sum(row["drop"] > 0 and row["p_holm"] < ALPHA for row in rows) - 1
    more = f"; {others} other{'s' * (others > 1)} cost{'s' * (others == 1)} something, too" if others else ""
    return (f"Hiding {name(most)} costs the encoder most, {number(most['drop'])} of its {whole} balanced accuracy "
            f"({p_value(most['p_holm'])} {test}{more}); {kept}.")


def _attribution(result):
    found = result["attribution"]
    if found is None:
        return ["The decision does not depend on the input: the gradient is zero everywhere."]
    said = []
    if found["evoked"]:
        regions = [region for region in ("occipital", "parietal") if region in found["evoked_regions"]]
        regions += ["temporal"] if any("temporal" in region for region in found["evoked_regions"]) else []
        where = regions[0] if len(regions) == 1 else f"{', '.join(regions[:-1])} and {regions[-1]}"
        said.append(f"{found['evoked']['share']:.0%} of the attribution lies in {EVOKED[0]:.0f}-{EVOKED[1]:.0f} ms over "
                    f"{where} channels (an even map: {found['evoked']['uniform']:.0%}).")
    if found["early"]:
        said.append(f"{found['early']['share']:.0%} lies before {TOO_EARLY:.0f} ms, when nothing of the picture has "
                    f"reached the cortex (an even map: {found['early']['uniform']:.0%}).")
    return said


def note_lines(result):
    """What to know besides: unknown times and places, and what the attribution's sanity check says."""
    notes = []
    if result["tmin"] is None:
        notes.append("the data set does not tell when the picture came, so times count from the trial's start and nothing "
                     "is said on responses to the picture")
    unknown = [row["channels"] for row in result["regions"] if row["region"] == "unknown"]
    if unknown:
        notes.append(f"{unknown[0]} channels have no known place on the scalp and make the region 'unknown'")
    if result["attribution"] and result["attribution"]["randomised_r"] is not None:
        r = result["attribution"]["randomised_r"]
        notes.append("the attribution's rank correlation with that of the same encoder with shuffled weights is "
                     + number(r) + ("; so the map shows the input more than what was learnt: go by the "
                                    "occlusion" if r >= ECHO else ""))
    return notes
