"""The table of simulated studies: how often each verdict was claimed, with exact intervals, and whether p is uniform."""

from runtime.runs import atomic_path, write_json

from evaluation.claims import ALPHA

VERDICTS = {"class": "the captions carry the class", "beyond_class": "more than the class",
            "better_than_nothing": "better than every control and baseline"}
ANY = "any of the three"


def share(count, number):
    """{"count", "rate", "low", "high"} of `count` of `number`, with the exact 95% interval (Clopper and Pearson 1934)."""
    from scipy import stats

    low, high = stats.binomtest(count, number).proportion_ci(.95, method="exact")
    return {"count": count, "rate": count / number, "low": float(low), "high": float(high)}


def verdict_summary(verdicts):
    """What a list of one verdict's {"holds", "p", "low", "high"} says.

    As `share` gives: `claimed`; `p_below` (p < ALPHA) and `off_zero` (the interval holds no 0), both in either direction.
    Kolmogorov-Smirnov tests of p against the uniform distribution: `ks` (statistic and p, two-sided) and `too_small` (p of
    the one-sided test that the p-values are smaller). Where no study could test it, only the counts.
    """
    from scipy import stats

    tested = [verdict for verdict in verdicts if verdict["p"] is not None]
    found = {"studies": len(verdicts), "tested": len(tested)}
    if tested:
        p = [verdict["p"] for verdict in tested]
        test = stats.kstest(p, "uniform")
        found |= {"claimed": share(sum(bool(verdict["holds"]) for verdict in tested), len(tested)),
                  "p_below": share(sum(value < ALPHA for value in p), len(tested)),
                  "off_zero": share(sum(off_zero(verdict) for verdict in tested), len(tested)),
                  "ks": {"statistic": float(test.statistic), "p": float(test.pvalue)},
                  "too_small": float(stats.kstest(p, "uniform", alternative="greater").pvalue)}
    return found


def off_zero(verdict):
    return verdict["low"] is not None and not verdict["low"] <= 0 <= verdict["high"]


def summarise(lines):
    """Everything that is said of the studies in `lines` (of studies.jsonl)."""
    import numpy as np

    found = {name: verdict_summary([line["verdicts"][name] for line in lines]) for name in VERDICTS}
    anything = sum(any(verdict["holds"] for verdict in line["verdicts"].values()) for line in lines)
    scores = {condition: float(np.mean([line["scores"][condition] for line in lines])) for condition in lines[0]["scores"]}
    middle = {name: float(np.median([line[name] for line in lines])) for name in (
        "distinct_captions", "commonest_caption", "commonest_class", "class_accuracy")}
    seconds = float(np.median([sum(line["seconds"].values()) for line in lines]))
    return {"studies": len(lines), "verdicts": found, "any": share(anything, len(lines)), "scores": scores,
            "median": middle, "trials": lines[0]["n"], "seconds": seconds}


def cell(found):
    return f"{found['count']}: {found['rate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def markdown(found, options, versions):
    """The summary as text and table."""
    lines = ["| verdict | studies | claimed | p < .05 | interval without 0 | KS distance of p from uniform | its p | p of "
             "too small p |", "|" + "---|" * 8]
    for name, title in VERDICTS.items():
        one = found["verdicts"][name]
        cells = [f"{title} (`{name}`)", str(one["tested"])]
        if one["tested"]:
            cells += [*(cell(one[part]) for part in ("claimed", "p_below", "off_zero")), f"{one['ks']['statistic']:.3f}",
                      f"{one['ks']['p']:.4f}", f"{one['too_small']:.4f}"]
        lines.append(f"| {' | '.join(cells + [''] * (8 - len(cells)))} |")
    lines.append(f"| {ANY} | {found['studies']} | {cell(found['any'])} | | | | | |")
    middle, scores = found["median"], found["scores"]
    simulated = ", ".join(f"{name} {options[name]}" for name in (
        "snr", "variant", "people", "classes", "train_pictures", "test_pictures", "picture_sets", "n_perm"))
    text = (f"{found['studies']} studies by `python -m bench.null_studies` ({simulated}), {found['seconds']:.0f} s each "
            f"(median). Medians: class right in {middle['class_accuracy']:.1%} of the {found['trials']} test trials, "
            f"{middle['distinct_captions']:.0f} different captions, the commonest in {middle['commonest_caption']:.1%}, "
            f"the commonest predicted class in {middle['commonest_class']:.1%}. Mean ROUGE-1: "
            + ", ".join(f"`{name}` {score:.3f}" for name, score in scores.items()) + ". Rates with exact 95% intervals.")
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{text}\n{packages}.\n\n" + "\n".join(lines) + "\n"


def draw(path, lines):
    """Histograms of the p-values of each verdict, with the height that a uniform distribution has."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    for panel, (name, title) in zip(figure.subplots(1, len(VERDICTS), sharey=True), VERDICTS.items(), strict=True):
        p = [line["verdicts"][name]["p"] for line in lines if line["verdicts"][name]["p"] is not None]
        panel.hist(p, bins=20, range=(0, 1), color="#4477aa", edgecolor="white")
        panel.axhline(len(p) / 20, color="black", linewidth=1, linestyle="--")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("p")
        panel.set_xlim(0, 1)
    figure.axes[0].set_ylabel("studies")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def write_table(output, lines, options, versions):
    """Write summary.json, table.md and p_values.png into `output`; returns the table."""
    found = summarise(lines)
    text = markdown(found, options, versions)
    write_json(output / "summary.json", found | {"options": options, "versions": versions})
    with atomic_path(output / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    draw(output / "p_values.png", lines)
    return text
