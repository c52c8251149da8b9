"""The command line: one thin command a stage."""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from mixframe import __version__
from mixframe.base.errors import MixframeError
from mixframe.base.imports import importing
from mixframe.base.progress import is_main

F = TypeVar("F", bound=Callable[..., Any])

ENVIRONMENT = {
    # Sums inside a BLAS or OpenMP call would depend on the number of its threads.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore:pkg_resources is deprecated",
}
"""Set before a stage imports numpy, torch or transformers, which read it once."""


class Commands(click.Group):
    """A group whose commands fail with one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a MixframeError becomes a message on standard error."""
        os.environ.update(ENVIRONMENT)
        try:
            return super().invoke(ctx)
        except MixframeError as error:
            # Of several processes that fail alike the first one says why: it ends the others.
            time.sleep(0 if is_main() else 2)
            click.echo(f"mixframe: {error}", err=True)
            ctx.exit(1)


def _stage_help(name: str) -> str:
    """Return a stage module's docstring as help text that keeps its lines."""
    source = Path(__file__).parent / "stages" / f"{name}.py"
    text = source.read_text(encoding="utf-8").split('"""')[1]
    paragraphs = text.strip().replace("\nWrites", "\n\nWrites").split("\n\n")
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in paragraphs)


def _compute_option(name: str, least: int, text: str) -> Any:
    """Return an option that overrides compute.<name>; an engine sets the variable instead."""
    variable = f"MIXFRAME_{name.upper()}"
    return click.option(
        f"--{name}", type=click.IntRange(least), envvar=variable, help=f"{text} [{variable}]"
    )


def _stage(name: str) -> Callable[[F], click.Command]:
    """Return a decorator that makes a command of a stage, with the options every stage has."""

    def decorate(function: F) -> click.Command:
        options = [
            click.option(
                "--preset", metavar="NAME", help="Preset; without it that of params.yaml."
            ),
            click.option("--device", type=click.Choice(["auto", "cpu", "cuda"])),
            _compute_option("threads", 0, "Slices computed at once; 0 = all cores."),
            _compute_option("workers", 0, "Preparing data; 0 = all cores."),
            _compute_option("processes", 1, "Of a training stage or of scoring."),
        ]
        command: Any = function
        for option in reversed(options):
            command = option(command)
        return main.command(name, help=_stage_help(name))(command)

    return decorate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Speech deepfake detection experiments, a stage a command.

    `dvc repro` and `snakemake` run the stages in their order; each can be run alone.
    """


def _context(preset: str | None, compute: dict[str, Any], seed: int | None = None) -> Any:
    from mixframe.experiment import params
    from mixframe.stages.context import open_context

    given = {key: value for key, value in compute.items() if value is not None}
    choice = params.read_choice()
    if seed is None:
        seed = choice.grid.seed[0]
    context = open_context(preset or choice.preset, given, seed)
    if context.name == choice.preset:
        params.check_grid(choice.grid, context.preset)
    return context


def _in_processes(context: Any, training: str = "", system: str = "") -> Any:
    """Return the context in each of compute.processes processes, started here if need be.

    `training` is the section of the preset whose training they share.
    """
    processes = context.compute.processes
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        from mixframe.experiment.params import pick

        if training:
            section = getattr(context.preset, training)
            section = pick(section, system, training) if system else section
            if train := getattr(section, "train", None):
                train.share(processes, ".".join(filter(None, (training, system))))
        from mixframe.base.processes import launch

        launch(processes)
    return context


def _module(name: str) -> Any:
    with importing():
        return import_module(f"mixframe.stages.{name}")


def _grid() -> Any:
    from mixframe.experiment import params

    return params.read_choice().grid


SYSTEM = click.option("--system", required=True, metavar="NAME", help="A system of the preset.")
SEED = click.option("--seed", type=click.IntRange(0), help="Default: the first of grid.seed.")


@_stage("download")
def download(preset: str | None, **compute: Any) -> None:
    _module("download").run(_context(preset, compute))


@_stage("protocol")
def protocol(preset: str | None, **compute: Any) -> None:
    _module("protocol").run(_context(preset, compute))


@_stage("pretrain")
def pretrain(preset: str | None, **compute: Any) -> None:
    _module("pretrain").run(_in_processes(_context(preset, compute), "pretrain"))


@_stage("splice")
@click.option("--policy", required=True, metavar="NAME", help="A key of the preset's splice.")
@SEED
def splice(preset: str | None, policy: str, seed: int | None, **compute: Any) -> None:
    _module("splice").run(_context(preset, compute, seed), policy)


@_stage("posttrain")
@SYSTEM
@SEED
def posttrain(preset: str | None, system: str, seed: int | None, **compute: Any) -> None:
    context = _in_processes(_context(preset, compute, seed), "posttrain", system)
    _module("posttrain").run(context, system)


@_stage("finetune")
@SYSTEM
@SEED
def finetune(preset: str | None, system: str, seed: int | None, **compute: Any) -> None:
    context = _in_processes(_context(preset, compute, seed), "finetune", system)
    _module("finetune").run(context, system)


@_stage("score")
@SYSTEM
@click.option("--set", "set_name", required=True, metavar="NAME", help="A set of the manifest.")
@SEED
def score(preset: str | None, system: str, set_name: str, seed: int | None, **compute: Any) -> None:
    _module("score").run(_in_processes(_context(preset, compute, seed)), system, set_name)


def _file_options(function: F) -> F:
    """Add the options of the commands that take score files of any system."""
    options = [
        click.option("--subset", metavar="NAME", help="Of the keys; default eval, or all of them."),
        click.option(
            "--unit",
            default="auto",
            metavar="COLUMN",
            help="What the bootstrap draws: trial, or a column of the keys; default speaker.",
        ),
        click.option("--resamples", type=click.IntRange(1), default=1000, show_default=True),
        click.option(
            "--level",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=0.95,
            show_default=True,
            help="Coverage of the intervals.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
        click.option("--json", metavar="FILE", help="Write the figures there too; - for stdout."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _inputs(keys: Path, workers: int | None, options: dict[str, Any]) -> Any:
    from mixframe.metrics.scorecard import Inputs

    names = ("subset", "unit", "resamples", "level", "seed")
    workers = workers or os.cpu_count() or 1
    return Inputs(keys, workers=workers, **{name: options[name] for name in names})


def _say(figures: dict[str, Any], text: str, json_file: str | None) -> None:
    """Print figures and warnings, and write them as JSON where asked to."""
    if json_file == "-":
        click.echo(json.dumps(figures, indent=2, allow_nan=False))
    else:
        click.echo(text)
    if json_file not in (None, "-"):
        from mixframe.base.files import write_json

        write_json(Path(json_file), figures)
    for warning in figures["warnings"]:
        click.echo(f"mixframe: warning: {warning}", err=True)


FILE = click.Path(path_type=Path)
KEYS = "ASVspoof 5 key or protocol, 2021 trial_metadata.txt, 2019 protocol, or a manifest."


@_stage("vote")
@SYSTEM
@SEED
def vote(preset: str | None, system: str, seed: int | None, **compute: Any) -> None:
    _module("vote").run(_context(preset, compute, seed), system)


@_stage("evaluate")
@click.argument("scores", required=False, type=FILE)
@click.option("--keys", type=FILE, help=KEYS)
@click.option("--by", metavar="COLUMNS", help="Break down by columns of the keys: attack,codec.")
@click.option("--asv", type=FILE, help="ASV scores, for the min t-DCF.")
@click.option("--asv-keys", type=FILE, help="ASV trial_metadata.txt; 2021 only.")
@click.option("--dev", type=FILE, help="Scores of a development set, to calibrate with.")
@click.option("--dev-keys", type=FILE, help="Its keys.")
@_file_options
@click.option("--system", metavar="NAME", help="A system of the preset, instead of SCORES.")
@click.option("--frames", is_flag=True, help="The system's frame classifier, not its scores.")
@click.option("--summary", is_flag=True, help="All systems of the grid together.")
def evaluate(
    preset: str | None,
    scores: Path | None,
    keys: Path | None,
    by: str | None,
    asv: Path | None,
    asv_keys: Path | None,
    dev: Path | None,
    dev_keys: Path | None,
    system: str | None,
    frames: bool,
    summary: bool,
    **options: Any,
) -> None:
    if scores is not None or keys is not None:
        if scores is None or keys is None or system or frames or summary or preset:
            raise click.UsageError("a score file needs --keys, and no option of a preset")
        if (dev is None) != (dev_keys is None) or (asv_keys is not None and asv is None):
            raise click.UsageError("--dev goes with --dev-keys, --asv-keys with --asv")
        from mixframe.metrics import scorecard
        from mixframe.metrics.protocols import read_asv

        figures = scorecard.evaluate(
            scores,
            _inputs(keys, options["workers"], options),
            by.split(",") if by else [],
            read_asv(asv, asv_keys, options["subset"] or "eval") if asv else None,
            (dev, dev_keys) if dev and dev_keys else None,
        )
        _say(figures, scorecard.evaluation_text(figures), options["json"])
        return
    if (system is None) != summary or (frames and summary):
        raise click.UsageError(
            "give SCORES --keys KEYS, or of a preset: --system NAME, --system NAME --frames, "
            "or --summary"
        )
    compute = {name: options[name] for name in ("device", "threads", "workers", "processes")}
    context, stage = _context(preset, compute), _module("evaluate")
    if summary:
        stage.run_summary(context, _grid())
    elif frames:
        stage.run_frames(context, system, _grid())
    else:
        stage.run(context, system, _grid())


@main.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--keys", type=FILE, required=True, help=KEYS)
@click.option("--workers", type=click.IntRange(0), default=0, help="Threads; 0 = all cores.")
@_file_options
def compare(first: Path, second: Path, keys: Path, workers: int, **options: Any) -> None:
    """Compare two score files on the same trials.

    Prints the differences of EER and minDCF, FIRST minus SECOND, with their intervals and p-values
    by a paired bootstrap.
    """
    from mixframe.metrics import scorecard

    figures = scorecard.compare(first, second, _inputs(keys, workers, options))
    _say(figures, scorecard.comparison_text(figures), options["json"])


@_stage("report")
def report(preset: str | None, **compute: Any) -> None:
    _module("report").run(_context(preset, compute), _grid())


@main.command()
@click.argument("name")
def use(name: str) -> None:
    """Make NAME the preset, with its grid, in params.yaml, and its folders under results/."""
    from ruamel.yaml import YAML

    from mixframe.base.files import atomic_path
    from mixframe.experiment import dag
    from mixframe.experiment.params import read_choice, read_preset

    yaml, path = YAML(), Path("params.yaml")
    yaml.width = 1000
    written = yaml.load(path)
    written["preset"] = name
    for key, values in read_preset(name).grid.model_dump().items():
        if isinstance(values, list):
            # In place, so that a list keeps its comments and its form; an empty one has none.
            kept = written["grid"][key]
            if not kept:
                kept.fa.set_flow_style()
            kept[:] = values
        else:
            written["grid"][key] = values
    with atomic_path(path) as temporary:
        yaml.dump(written, temporary)
    dag.make_folders()
    click.echo(f"params.yaml: preset {name}, {len(read_choice().grid.system)} systems")


@main.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
def show(preset: str | None) -> None:
    """Print the result table of a preset and say where its report is."""
    from mixframe.base.files import need_file
    from mixframe.experiment.layout import Layout
    from mixframe.experiment.params import preset_path, read_choice

    name = preset or read_choice().preset
    preset_path(name)
    files = Layout(name)
    click.echo("EER in % with 95 % intervals; lower is better\n")
    click.echo(need_file(files.table, "summary").read_text(encoding="utf-8"))
    click.echo(f"Report: {need_file(files.report, 'report').absolute()}")


@main.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
def timings(preset: str | None) -> None:
    """Print how many seconds each stage took when it last ran on this machine."""
    from mixframe.base.files import need_file, read_json
    from mixframe.experiment.layout import Layout
    from mixframe.experiment.params import read_choice

    files = Layout(preset or read_choice().preset)
    seconds = read_json(need_file(files.timings, "download"))
    for stage in sorted(seconds):
        click.echo(f"{seconds[stage]:9.1f} s  {stage}")
    click.echo(f"{sum(seconds.values()):9.1f} s  together")


@main.command()
@click.argument("section", required=False)
@click.option("--preset", metavar="NAME", help="Preset; without it that of params.yaml.")
@click.option("--count", is_flag=True, help="Print how many parameters each neural system has.")
def params(section: str | None, preset: str | None, count: bool) -> None:
    """Print the validated configuration, or one SECTION of it (splice, finetune.lora ...)."""
    import yaml

    from mixframe.experiment.params import read_choice, read_preset

    name = preset or read_choice().preset
    if count:
        from mixframe.experiment.layout import Layout
        from mixframe.models.published import count_all

        for system, (total, trained) in count_all(read_preset(name), Layout(name)).items():
            click.echo(f"{system}: {trained:,} of {total:,} parameters trained")
        return
    values: Any = read_preset(name).model_dump()
    walked: list[str] = []
    for key in section.split(".") if section else []:
        if not isinstance(values, dict) or key not in values:
            choices = ", ".join(values) if isinstance(values, dict) else "nothing below it"
            place = ".".join(walked) or f"preset {name}"
            raise MixframeError(f"{section}: {place} has no {key!r}; expected one of {choices}")
        walked.append(key)
        values = values[key]
    click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip())


if __name__ == "__main__":
    sys.exit(main())
