"""The scores as LaTeX tables, one a study, for \\usepackage{booktabs}."""

import re

from runtime.wording import counted

from .tables import beats_floor, cell, groups_of, main_metrics

MOST_COLUMNS = 5  # what a text width of 345 pt, LaTeX's article, holds

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
           ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "§": r"\S{}", "µ": r"\textmu{}",
           **{letter: f"\\{letter}" for letter in "&%$#_{}"}}


def escaped(text):
    """Text with TeX's special characters escaped, on one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(str(text).split()))


def table(study, metric, alpha, place=1):
    """A booktabs table: conditions by metrics with 95% intervals, the claim and N in the caption.

    Bold is only the model's headline score, and only where it is better than every control and baseline.
    """
    metrics, bold = main_metrics(study, metric)[:MOST_COLUMNS], beats_floor(study)
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
            lines.append(" & ".join([escaped(one["condition"]), *cells]) + r" \\")
            if any(spans):
                lines.append(" & ".join(["", *spans]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption(study, metric, alpha, bold)}}}",
              rf"\label{{tab:eeg-to-text-{re.sub('[^A-Za-z0-9]+', '-', study['name']).strip('-')}-{place}}}",
              r"\end{table}"]
    return "\n".join(lines) + "\n"


def caption(study, metric, alpha, bold):
    """The claim, N, and how to read the table, escaped."""
    size = f"N = {counted(study['n'], 'trial')} of {counted(study['pictures'], 'picture')}"
    if study.get("subjects"):
        size += f" and {counted(len(study['subjects']), 'subject')}"
    missing = f" Not given: {', '.join(study['missing'])}." if study.get("missing") else ""
    mark = (f"Bold: better than every control and baseline in {metric} at p < {alpha:g}." if bold else
            f"Nothing is bold: the model is not shown to beat every control and baseline in {metric} at p < {alpha:g}.")
    return escaped(f"{study['claim']} {size}. Means with 95% intervals in brackets. {mark}{missing}")


def tables(results):
    """All studies' tables, with a line that says what they need."""
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(table(study, results["metric"], results["alpha"], place)
                            for place, study in enumerate(results["studies"], 1))
