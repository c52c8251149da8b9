"""Copy what the README shows of a preset out of its results: `python -m benchmarks.readme PRESET`.

It goes to docs/results/PRESET, and the table into the README where that shows it. The differences
that are supported are printed; the README may claim no others.
"""

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from mixframe.base.files import read_json, write_text
from mixframe.experiment.layout import Layout
from mixframe.experiment.scored import localiser_name

FROZEN = "-freeze-convolutions"
"""Ends the name of a system that differs in this from the one without the ending."""

UNSEEN = "eval_unseen"
PARTIAL = "eval_partial"
HARDEST = 6
"""Conditions in the README, those with the highest EER as a mean over the systems."""
ATTACKS = ("pgd_10lsb", "fgsm_33lsb_of_utterance_ft")
"""Adversarial conditions beside them."""
ROBUST_FIGURES = ("robustness", "degradation")
"""What the preset of distortions has to show; its other figures are the trained preset's."""


def freezing(summary: dict[str, Any], pairs: pd.DataFrame) -> str:
    """Return what training the convolutions is worth on unseen voices, as a table in Markdown."""
    rows = []
    for system, entry in summary["systems"].items():
        frozen = summary["systems"].get(system + FROZEN)
        if frozen is None:
            continue
        eers = [entry["sets"][UNSEEN] for entry in (frozen, entry)]
        pair = pairs[
            (pairs["set"] == UNSEEN)
            & (pairs["first"] == system + FROZEN)
            & (pairs["second"] == system)
        ].iloc[0]
        rows.append(
            [
                system,
                *(f"{100 * eer['eer']:.2f} ± {100 * eer['eer_std']:.2f}" for eer in eers),
                "{:.1f} [{:.1f}, {:.1f}]".format(*100 * pair[["difference", "low", "high"]]),
                "yes" if pair["supported"] else "no",
            ]
        )
    return _markdown(["system", "frozen", "trained", "difference", "supported"], rows, last=True)


def localisers(summary: dict[str, Any], regions: dict[str, Any]) -> str:
    """Return how well each localiser judges and locates partly spoofed speech, in Markdown."""
    rows = []
    for entry in regions["localisers"]:
        if entry["set"] != PARTIAL or entry["system"].endswith(FROZEN):
            continue
        utterance = summary["systems"][entry["system"]]["sets"][PARTIAL]
        located = [entry["segments"]["0.02"], entry["segments"]["0.16"], entry["range"]]
        rows.append(
            [
                localiser_name(entry["stage"], entry["system"]),
                _interval(utterance["eer"], utterance["eer_both_low"], utterance["eer_both_high"]),
                *(_interval(part["eer"], part["low"], part["high"]) for part in located),
            ]
        )
    return _markdown(["localiser", "utterance EER", "20 ms EER", "160 ms EER", "range EER"], rows)


def robustness(details: dict[str, Any]) -> str:
    """Return the EER clean, over all conditions and under the hardest ones, in Markdown."""
    conditions, sums = details["conditions"], details["systems"]
    mean = {
        name: sum(conditions[system][name]["eer"] for system in sums) / len(sums)
        for name in details["counted"]
    }
    hardest = sorted(mean, key=lambda name: -mean[name])[:HARDEST]
    rows = [
        ["clean", *(_percent(sums[system]["clean"]) for system in sums)],
        [f"mean of {len(mean)} conditions", *(_percent(sums[system]["mean"]) for system in sums)],
    ]
    for name in hardest + [name for name in next(iter(conditions.values())) if name in ATTACKS]:
        rows.append([f"`{name}`", *(_percent(conditions[system][name]) for system in sums)])
    return _markdown(["condition", *sums], rows)


def _percent(figures: dict[str, float]) -> str:
    return f"{100 * figures['eer']:.1f}"


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _markdown(columns: list[str], rows: list[list[str]], last: bool = False) -> str:
    """Return a table; its first column is of words, and so is the last where it says so."""
    rule = ["---", *["--:"] * (len(columns) - 1 - last), *["---"] * last]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, rule, *rows))


def main() -> None:
    """Copy the table, the comparisons and the figures, and the tables into the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="demo")
    files = Layout(parser.parse_args().preset)
    shown = Path("docs/results") / files.preset
    shown.mkdir(parents=True, exist_ok=True)
    figures = sorted(files.figure("det.png").parent.glob("*.png"))
    sums = [files.table, files.comparisons, files.summary]
    robust = files.robust_details(UNSEEN).is_file()
    figures = [path for path in figures if (path.stem in ROBUST_FIGURES) == robust]
    if robust:
        blocks = {"robustness": robustness(read_json(files.robust_details(UNSEEN)))}
        sums = [files.robust_details(UNSEEN), files.robust_table(UNSEEN)]
    else:
        pairs = pd.read_csv(files.comparisons)
        _print_supported(pairs)
        table = files.table.read_text(encoding="utf-8")
        blocks = {"table": table}
        summary = read_json(files.summary)
        if len(summary["seeds"]) > 1:
            blocks = {
                "first table": table.split("\n\n")[0] + "\n",
                "freezing": freezing(summary, pairs),
                "localisers": localisers(summary, read_json(files.regions)),
            }
    for path in (*sums, *figures):
        shutil.copyfile(path, shown / path.name)
    readme = Path("README.md")
    text = readme.read_text(encoding="utf-8")
    for name, block in blocks.items():
        marks = rf"(<!-- {name}: {shown.as_posix()}[^\n]*-->\n).*?(<!-- /{name} -->)"
        text, n = re.subn(marks, rf"\1\n{block}\n\2", text, count=1, flags=re.DOTALL)
        print(f"README.md, {name}: {n}")
    write_text(readme, text)
    print(f"{shown}: {len(sums) + len(figures)} files")


def _print_supported(pairs: pd.DataFrame) -> None:
    for row in pairs[pairs["supported"]].to_dict("records"):
        print(
            f"supported: {row['set']}: {row['first']} - {row['second']}: {row['difference']:+.4f}"
        )
    print(f"{pairs['supported'].sum()} of {len(pairs)} differences are supported")


if __name__ == "__main__":
    main()
