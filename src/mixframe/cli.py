"""The command line: a command for each stage, made from its module, and those of `commands`."""

import ast
import os
import sys
import time
import traceback
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

from mixframe import __version__
from mixframe.base import isa, memory
from mixframe.base.errors import REFUSALS, MixframeError
from mixframe.base.imports import importing
from mixframe.base.progress import is_main

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

STAGES = Path(__file__).parent / "stages"

CELL = {
    "system": ("--system", "A system of the grid."),
    "policy": ("--policy", "A key of the preset's splice."),
    "set_name": ("--set", "An evaluation set of the grid."),
}
"""Options that name a cell, by the parameter of a stage's `run`."""


class StageSource(NamedTuple):
    """What the text of a stage's module tells without importing it, which takes seconds.

    Attributes:
        takes: parameters of its `run` behind the context.
        parallel: whether `compute.processes` share its work (`mixframe.stages.context.parallel`).
    """

    help: str
    takes: tuple[str, ...]
    parallel: bool


@cache
def stage_source(name: str) -> StageSource | None:
    """Return what is told of a stage; None if there is no stage of that name."""
    path = STAGES / f"{name}.py"
    if not path.is_file():
        return None
    tree = ast.parse(path.read_bytes())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            paragraphs = (ast.get_docstring(tree) or "").replace("\nWrites", "\n\nWrites")
            # click keeps the lines of a paragraph that starts with \b.
            text = "\n\n".join(f"\b\n{paragraph}" for paragraph in paragraphs.split("\n\n"))
            takes = tuple(argument.arg for argument in node.args.args[1:])
            marks = [mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)]
            return StageSource(text, takes, "parallel" in marks)
    return None


class Commands(click.Group):
    """Stages and other commands; they fail with one message and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names: a module of `mixframe.stages` with a function `run` is a stage."""
        stages = [p.stem for p in STAGES.glob("*.py") if stage_source(p.stem)]
        return sorted({*stages, *import_module("mixframe.commands").COMMANDS})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        return _stage_command(name) or import_module("mixframe.commands").COMMANDS.get(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that arguments call.

        `evaluate` without a system and `distort` without a set are about files of any origin.
        """
        cell = {"evaluate": "--system", "distort": "--set"}.get(args[0])
        if cell is not None and cell not in args:
            return args[0], import_module("mixframe.commands").COMMANDS[args[0]], args[1:]
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run from the command line; where the system refuses a file, that becomes a message.

        So does a standard output that is full or closed. A reader that has gone (`| head`) is no
        error to speak of, and click ends with 1.
        """
        if sys.stdout is None:
            # What is printed fails, in the place of going nowhere.
            sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
        try:
            return super().main(*args, **extra)
        except OSError as error:
            message = _refusal(error)
            if message is None:
                raise
            with suppress(OSError):
                click.echo(f"mixframe: {message}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a MixframeError becomes a message on standard error."""
        os.environ.update(ENVIRONMENT)
        isa.pin(os.environ)
        memory.keep()
        try:
            return super().invoke(ctx)
        except MixframeError as error:
            # Of several processes that fail alike the first one says why: it ends the others.
            time.sleep(0 if is_main() else 2)
            click.echo(f"mixframe: {error}", err=True)
            ctx.exit(1)


def _refusal(error: OSError) -> str | None:
    """Say what the system refuses: standard output, or a file; None for what may be a mistake."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_code is click.echo.__code__:
        # Python flushes once more at its end, and would say in its own words that it fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return f"standard output: {error.strerror}; what was printed is lost"
    if error.errno in REFUSALS and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Speech deepfake detection experiments, a stage a command.

    `dvc repro` and `snakemake` run the stages in their order; each can be run alone.
    """


def _compute_option(name: str, least: int, text: str) -> click.Option:
    """Return an option that overrides compute.<name>; an engine sets the variable instead."""
    variable = f"MIXFRAME_{name.upper()}"
    kind = click.IntRange(least)
    return click.Option([f"--{name}"], type=kind, envvar=variable, help=f"{text} [{variable}]")


def _stage_command(name: str) -> click.Command | None:
    source = stage_source(name)
    if source is None:
        return None
    options: list[click.Parameter] = [
        click.Option([flag, parameter], required=True, metavar="NAME", help=text)
        for parameter, (flag, text) in CELL.items()
        if parameter in source.takes
    ]
    if options and "grid" not in source.takes:
        seed = click.IntRange(0)
        options.append(click.Option(["--seed"], type=seed, help="Default: the first of the grid."))
    if "base" in source.takes:
        options.append(click.Option(["--base"], is_flag=True, help="Of its corpus and encoder."))
    options += [
        click.Option(["--preset"], metavar="NAME", help="Default: the one in params.yaml."),
        click.Option(["--device"], type=click.Choice(["auto", "cpu", "cuda"])),
        _compute_option("threads", 0, "Slices computed at once; 0 = all cores."),
        _compute_option("workers", 0, "Preparing data; 0 = all cores."),
        _compute_option("processes", 1, "Of a training stage or of scoring."),
    ]

    def callback(preset: str | None, seed: int | None = None, **given: Any) -> None:
        cell = {parameter: given.pop(parameter) for parameter in CELL if parameter in given}
        extra = {"base": given.pop("base")} if "base" in given else {}
        run_stage(name, preset, cell, seed, given, **extra)

    return click.Command(name, params=options, callback=callback, help=source.help)


def run_stage(
    name: str,
    preset: str | None,
    cell: dict[str, str],
    seed: int | None = None,
    compute: dict[str, Any] | None = None,
    **extra: Any,
) -> None:
    """Run one cell of a stage.

    Args:
        preset: the one of params.yaml if None.
        cell: values of `CELL`.
        seed: the first of the grid if None.
        compute: overrides the preset's section of that name where not None.
        extra: what else the stage's `run` takes.

    Raises:
        MixframeError: what the stage says.
    """
    from mixframe.stages.context import open_context, start_processes

    source = stage_source(name)
    assert source is not None
    given = {key: value for key, value in (compute or {}).items() if value is not None}
    context = open_context(preset, given, cell, seed)
    if context.compute.isa == "native":
        isa.begin_again()
    if source.parallel:
        start_processes(context, name, cell)
    with importing():
        stage = import_module(f"mixframe.stages.{name}")
    grid = {"grid": context.grid} if "grid" in source.takes else {}
    stage.run(context, **cell, **grid, **extra)


if __name__ == "__main__":
    main()
