"""The result table as text. Percentages appear only here, where figures are printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "±": r"$\pm$"})


@dataclass(frozen=True)
class Cell:
    """A cell of the result table; lowest is the lowest EER of its set."""

    text: str
    interval: str = ""
    lowest: bool = False


def percent(value: float) -> str:
    """Write a fraction as a percentage with two decimals, without the sign."""
    return f"{100 * value:.2f}"


def table(summary: Mapping[str, Any]) -> list[list[Cell]]:
    """Return the result table of summary.json, the header first.

    An EER is in percent with its interval, `2.31` and `[1.52, 3.20]`; of several seeds it is the
    mean with its standard deviation, `2.31 ± 0.40`.
    """
    sets, systems = summary["sets"], summary["systems"]
    rows = [[Cell(name) for name in ("system", *sets, "frame EER", "trained / all parameters")]]
    for system, entry in systems.items():
        row = [Cell(system)]
        for name in sets:
            figures = entry["sets"][name]
            low, high = percent(figures["eer_low"]), percent(figures["eer_high"])
            deviation = f" ± {percent(figures['eer_std'])}" if "eer_std" in figures else ""
            lowest = min(other["sets"][name]["eer"] for other in systems.values())
            rate = percent(figures["eer"]) + deviation
            row.append(Cell(rate, f"[{low}, {high}]", figures["eer"] == lowest))
        heldout = entry["frames"].get("heldout")
        row.append(Cell(percent(heldout["frame_eer"]) if heldout else ""))
        row.append(Cell(f"{entry['trainable_parameters']:,} / {entry['total_parameters']:,}"))
        rows.append(row)
    return rows


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the result table in Markdown, columns aligned to be read as plain text as well."""
    rows = [[f"{cell.text} {cell.interval}".strip() for cell in row] for row in table(summary)]
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    lines = [[text.ljust(width) for text, width in zip(rows[0], widths, strict=True)]]
    lines.append(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    for first, *rest in rows[1:]:
        numbers = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append([first.ljust(widths[0]), *numbers])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def latex(summary: Mapping[str, Any]) -> str:
    """Return the result table in LaTeX, for the package booktabs.

    The interval is in small type, the lowest EER of a set is bold.
    """

    def write(cell: Cell) -> str:
        text = cell.text.translate(LATEX)
        if cell.lowest:
            text = rf"\textbf{{{text}}}"
        return rf"{text} {{\scriptsize {cell.interval}}}" if cell.interval else text

    rows = table(summary)
    header, *body = ["  " + " & ".join(write(cell) for cell in row) + r" \\" for row in rows]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
            r"  \toprule",
            header,
            r"  \midrule",
            *body,
            r"  \bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
