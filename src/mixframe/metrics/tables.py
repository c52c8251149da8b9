"""The result table as text. Percentages appear only here, where figures are printed."""

from collections.abc import Mapping
from typing import Any

_LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "±": r"$\pm$"})


def percent(value: float) -> str:
    """Write a fraction as a percentage with two decimals, without the sign."""
    return f"{100 * value:.2f}"


def cell(figures: Mapping[str, float]) -> str:
    """Write an EER with its interval, in percent: `2.31 [1.52, 3.20]`.

    Of several seeds it is the mean with its standard deviation: `2.31 ± 0.40 [1.52, 3.20]`.
    """
    low, high = percent(figures["eer_low"]), percent(figures["eer_high"])
    deviation = f" ± {percent(figures['eer_std'])}" if "eer_std" in figures else ""
    return f"{percent(figures['eer'])}{deviation} [{low}, {high}]"


def rows(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the result table of summary.json."""
    header = ["system", *summary["sets"], "frame EER", "trained / all parameters"]
    body = []
    for system, entry in summary["systems"].items():
        heldout = entry["frames"].get("heldout")
        counts = f"{entry['trainable_parameters']:,} / {entry['total_parameters']:,}"
        cells = [cell(entry["sets"][name]) for name in summary["sets"]]
        body.append([system, *cells, percent(heldout["frame_eer"]) if heldout else "", counts])
    return header, body


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the result table in Markdown, columns aligned to be read as plain text as well."""
    header, body = rows(summary)
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(header, widths, strict=True)) + " |"]
    rule = ["-" * (widths[0]), *("-" * (w - 1) + ":" for w in widths[1:])]
    lines.append("| " + " | ".join(rule) + " |")
    for row in body:
        first = row[0].ljust(widths[0])
        rest = [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join([first, *rest]) + " |")
    return "\n".join(lines) + "\n"


def latex(summary: Mapping[str, Any]) -> str:
    """Return the result table in LaTeX, for the package booktabs; the lowest EER of a set is bold.

    EER in percent with its interval in small type, as in `cell`.
    """
    sets = summary["sets"]
    header, body = rows(summary)
    lowest = {
        name: min(entry["sets"][name]["eer"] for entry in summary["systems"].values())
        for name in sets
    }
    lines = []
    for row, entry in zip(body, summary["systems"].values(), strict=True):
        cells = [text.translate(_LATEX) for text in row]
        for column, name in enumerate(sets, start=1):
            rate, _, interval = cells[column].partition(" [")
            if entry["sets"][name]["eer"] == lowest[name]:
                rate = rf"\textbf{{{rate}}}"
            cells[column] = rf"{rate} {{\scriptsize [{interval}}}"
        lines.append("  " + " & ".join(cells) + r" \\")
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"  \toprule",
            "  " + " & ".join(name.translate(_LATEX) for name in header) + r" \\",
            r"  \midrule",
            *lines,
            r"  \bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
