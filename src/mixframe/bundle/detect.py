"""Command detect: is this recording genuine, and where is it not?"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
ABOVE_0 = click.FloatRange(0, min_open=True)
SPOOFED = 3
"""Exit code of --fail-on-spoof."""


def model_options(function: F) -> F:
    """Add the options of the commands that judge recordings with a bundle."""
    options = [
        click.option(
            "--model",
            required=True,
            type=PATH,
            metavar="BUNDLE",
            help="A folder that `mixframe export` made.",
        ),
        click.option(
            "--prior",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=0.5,
            show_default=True,
            help="Probability of spoof before anything is heard.",
        ),
        click.option(
            "--cost-accept",
            type=ABOVE_0,
            default=1.0,
            show_default=True,
            help="Of taking a spoof for bona fide.",
        ),
        click.option(
            "--cost-reject",
            type=ABOVE_0,
            default=1.0,
            show_default=True,
            help="Of taking bona fide for a spoof.",
        ),
        click.option(
            "--pool",
            type=click.Choice(["min", "mean"]),
            default="min",
            show_default=True,
            help="Of the windows of a long recording, the lowest score counts, or the mean.",
        ),
        click.option(
            "--min-region",
            type=click.FloatRange(0),
            default=0.16,
            show_default=True,
            help="Shortest region of the timeline, seconds.",
        ),
        click.option(
            "--frame-threshold",
            type=float,
            help="Logit from which a frame counts as spliced in; default: the bundle's.",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="FILE_OR_FOLDER...")
@model_options
@click.option("--json", type=PATH, metavar="FILE", help="All there is; - for stdout.")
@click.option("--csv", type=PATH, metavar="FILE", help="A row a file; - for stdout.")
@click.option("--rttm", type=PATH, metavar="FILE", help="The regions; - for stdout.")
@click.option("--plot", type=PATH, metavar="FOLDER", help="A PNG and an SVG a file.")
@click.option("--html", type=PATH, metavar="FILE", help="A page with players.")
@click.option(
    "--under",
    metavar="CONDITIONS",
    help="Judge after distortions too: opus_12k,white_snr10 ..., or a YAML file of conditions.",
)
@click.option("--fail-on-spoof", is_flag=True, help=f"Exit with {SPOOFED} if a file is spoof.")
def detect(
    names: tuple[str, ...],
    model: Path,
    device: str,
    under: str | None,
    fail_on_spoof: bool,
    **options: Any,
) -> None:
    """Tell whether recordings are bona fide or spoof.

    Takes any file that libsndfile or FFmpeg decodes, and folders of such files; - reads names from
    standard input, one a line. docs/detect.md says what the figures mean.

    Exit code 0 whatever the decisions are. A file that cannot be read makes it 1; the others are
    judged still.
    """
    from mixframe.base.imports import importing
    from mixframe.bundle.inputs import listed

    with importing():
        from mixframe.bundle.analysis import Rule
        from mixframe.bundle.batch import Outputs, run
        from mixframe.bundle.detector import Detector
        from mixframe.bundle.under import chosen

    rule = Rule(**{key: options.pop(key) for key in Rule.model_fields})
    files, outputs = list(listed(names, sys.stdin.buffer)), Outputs(**options)
    outputs.check([*files, model])
    conditions = chosen(under) if under is not None else {}
    results = run(Detector.load(model, device), files, rule, outputs, conditions)
    if fail_on_spoof and any(result.decision == "spoof" for result in results):
        sys.exit(SPOOFED)
    sys.exit(any(result.error is not None for result in results))
