"""The command line: one thin command a stage."""

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from mixframe import __version__
from mixframe.errors import MixframeError
from mixframe.progress import is_main

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
    from mixframe import params
    from mixframe.stages.context import open_context

    given = {key: value for key, value in compute.items() if value is not None}
    choice = params.read_choice()
    if seed is None:
        seed = choice.grid.seed[0]
    return open_context(preset or choice.preset, given, seed)


def _in_processes(context: Any) -> Any:
    """Return the context in each of compute.processes processes, started here if need be."""
    processes = context.compute.processes
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        from mixframe.processes import launch

        launch(processes)
    return context


def _module(name: str) -> Any:
    return import_module(f"mixframe.stages.{name}")


def _grid() -> Any:
    from mixframe import params

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
    _module("pretrain").run(_in_processes(_context(preset, compute)))


@_stage("splice")
@click.option("--policy", required=True, metavar="NAME", help="A key of the preset's splice.")
@SEED
def splice(preset: str | None, policy: str, seed: int | None, **compute: Any) -> None:
    _module("splice").run(_context(preset, compute, seed), policy)


@_stage("posttrain")
@SYSTEM
@SEED
def posttrain(preset: str | None, system: str, seed: int | None, **compute: Any) -> None:
    _module("posttrain").run(_in_processes(_context(preset, compute, seed)), system)


@_stage("finetune")
@SYSTEM
@SEED
def finetune(preset: str | None, system: str, seed: int | None, **compute: Any) -> None:
    _module("finetune").run(_in_processes(_context(preset, compute, seed)), system)


@_stage("score")
@SYSTEM
@click.option("--set", "set_name", required=True, metavar="NAME", help="A set of the manifest.")
@SEED
def score(preset: str | None, system: str, set_name: str, seed: int | None, **compute: Any) -> None:
    _module("score").run(_in_processes(_context(preset, compute, seed)), system, set_name)


@_stage("evaluate")
@click.option("--system", metavar="NAME", help="A system of the preset.")
@click.option("--frames", is_flag=True, help="The system's frame classifier, not its scores.")
@click.option("--summary", is_flag=True, help="All systems of the grid together.")
def evaluate(
    preset: str | None, system: str | None, frames: bool, summary: bool, **compute: Any
) -> None:
    if (system is None) != summary or (frames and summary):
        raise click.UsageError("give --system NAME, --system NAME --frames, or --summary")
    context, stage = _context(preset, compute), _module("evaluate")
    if summary:
        stage.run_summary(context, _grid())
    elif frames:
        stage.run_frames(context, system, _grid())
    else:
        stage.run(context, system, _grid())


@_stage("report")
def report(preset: str | None, **compute: Any) -> None:
    _module("report").run(_context(preset, compute), _grid())


@main.command()
@click.argument("name")
def use(name: str) -> None:
    """Make NAME the preset, with its grid, in params.yaml."""
    from ruamel.yaml import YAML

    from mixframe.files import atomic_path
    from mixframe.params import read_choice, read_preset

    yaml, path = YAML(), Path("params.yaml")
    yaml.width = 100
    written = yaml.load(path)
    written["preset"] = name
    for key, values in read_preset(name).grid.model_dump().items():
        written["grid"][key][:] = values
    with atomic_path(path) as temporary:
        yaml.dump(written, temporary)
    click.echo(f"params.yaml: preset {name}, {len(read_choice().grid.system)} systems")


@main.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
def show(preset: str | None) -> None:
    """Print the result table of a preset and say where its report is."""
    from mixframe.files import need_file
    from mixframe.layout import Layout
    from mixframe.params import preset_path, read_choice

    name = preset or read_choice().preset
    preset_path(name)
    files = Layout(name)
    click.echo("EER in % with 95 % intervals; lower is better\n")
    click.echo(need_file(files.table, "summary").read_text(encoding="utf-8"))
    click.echo(f"Report: {need_file(files.report, 'report').absolute()}")


@main.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
@click.option("--write", is_flag=True, help="Keep them for the report.")
def timings(preset: str | None, write: bool) -> None:
    """Print how many seconds each stage took when it last ran on this machine."""
    from mixframe.files import need_file, read_json, write_json
    from mixframe.layout import Layout
    from mixframe.params import read_choice

    files = Layout(preset or read_choice().preset)
    seconds = read_json(need_file(files.local_timings, "download"))
    for stage in sorted(seconds):
        click.echo(f"{seconds[stage]:9.1f} s  {stage}")
    click.echo(f"{sum(seconds.values()):9.1f} s  together")
    if write:
        write_json(files.timings, seconds)
        click.echo(f"written to {files.timings}")


@main.command()
@click.argument("section", required=False)
@click.option("--preset", metavar="NAME", help="Preset; without it that of params.yaml.")
def params(section: str | None, preset: str | None) -> None:
    """Print the validated configuration, or one SECTION of it (splice, finetune.lora ...)."""
    import yaml

    from mixframe.params import read_choice, read_preset

    name = preset or read_choice().preset
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
