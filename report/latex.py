"""The scores as LaTeX tables for \\usepackage{booktabs}, one for each study."""

import re

from runtime.wording import counted

from .tables import beats_floor, cell, groups_of, main_metrics

MAX_COLUMNS = 5  # of metrics that fit into the text width of LaTeX's article, 345 pt

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
           ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "§": r"\S{}", "µ": r"\textmu{}",
           **{letter: f"\\{letter}" for letter in "&%$#_{}"}}


def escaped(text: object) -> str:
    """Text with TeX's special characters escaped, on one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(str(text).split()))


def table(study: dict, metric: str, alpha: float, place: int = 1, made: dict | None = None) -> str:
    """A booktabs table: conditions by metrics with 95% intervals, the claim and N in the caption.

    Only the model's headline score can be bold, and only where it is better than every control and baseline. A condition of
    other trials than the model's N has its own n beside it. made: runtime.run_facts of the evaluation.
    """
    metrics, bold = main_metrics(study, metric)[:MAX_COLUMNS], beats_floor(study)
    columns = len(metrics) + 1
    lines = [r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{2pt}",
             rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}", r"\toprule",
             " & ".join(["Condition", *map(escaped, metrics)]) + r" \\"]
    for name, conditions in groups_of(study):
        lines += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{escaped(name)}}}}} \\"]
        for one in conditions:
            cells, spans = [], []
            for column in metrics:
                value, ends = cell(one, column)
                strong = bold and one["kind"] == "model" and column == metric
                cells.append(rf"\textbf{{{value}}}" if strong else value)
                spans.append(rf"\scriptsize {ends}" if ends else "")
            some = "" if one["n"] == study["n"] else f" (n = {one['n']})"
            lines.append(" & ".join([escaped(f"{one['condition']}{some}"), *cells]) + r" \\")
            if any(spans):
                lines.append(" & ".join(["", *spans]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption(study, metric, alpha, bold, made)}}}",
              rf"\label{{tab:eeg-to-text-{re.sub('[^A-Za-z0-9]+', '-', study['name']).strip('-')}-{place}}}",
              r"\end{table}"]
    return "\n".join(lines) + "\n"


def caption(study: dict, metric: str, alpha: float, bold: bool, made: dict | None = None) -> str:
    """The claim, N, and how to read the table, escaped."""
    size = f"N = {counted(study['n'], 'trial')} of {counted(study['pictures'], 'picture')}"
    if study.get("subjects"):
        size += f" and {counted(len(study['subjects']), 'subject')}"
    missing = f" No captions under {', '.join(study['missing'])}." if study.get("missing") else ""
    mark = (f"Bold: better than every control and baseline in {metric} at p < {alpha:g}." if bold else
            f"Nothing is bold: the model is not shown to beat every control and baseline in {metric} at p < {alpha:g}.")
    when = f" Evaluated on {made['date']}" if made and made.get("date") else ""
    when += f", commit {made['commit']}." if when and made.get("commit") else "." * bool(when)
    return escaped(f"{study['claim']} {audit_sentence(study)}{size}. Means with 95% intervals in brackets. "
                   f"{mark}{missing}{when}")


def audit_sentence(study: dict) -> str:
    """What the audit of the data warns of, or that there is none; the claim itself states severe findings."""
    audit = study.get("audit")  # results.json of an earlier version has none
    if not audit or not study["verdicts"]:
        return ""
    if not audit["findings"]:
        return "The data were not audited. "
    names = [finding["check"] for finding in audit["findings"] if finding["severity"] == "warning"]
    return f"The audit of the data warns of: {', '.join(names)}. " if names else ""


def tables(results: dict) -> str:
    """The tables of all studies, with a line that names the package they need."""
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(table(study, results["metric"], results["alpha"], place, results.get("made"))
                            for place, study in enumerate(results["studies"], 1))
