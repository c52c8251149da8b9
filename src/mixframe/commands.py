"""The commands that are no stage: presets, score files of any system, looking things up.

Each imports what it needs when it runs, so that help and messages come at once.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mixframe.bundle.arena.commands import arena
from mixframe.bundle.detect import detect
from mixframe.bundle.export import export, import_
from mixframe.bundle.serve import serve

F = TypeVar("F", bound=Callable[..., Any])


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


def _check_json(json_file: str | None, *inputs: Path | None) -> None:
    """Check that --json may be written, and is none of the files that the command reads."""
    from mixframe.base.outputs import check_outputs

    if json_file not in (None, "-"):
        check_outputs([Path(json_file)], [path for path in inputs if path])


def _say(figures: dict[str, Any], text: str, json_file: str | None) -> None:
    """Print figures and warnings, and write them as JSON where asked to."""
    from mixframe.base.files import json_text
    from mixframe.base.outputs import write_output

    if json_file not in (None, "-"):
        write_output(Path(json_file), json_text(figures))
    click.echo(json_text(figures).rstrip() if json_file == "-" else text)
    for warning in figures["warnings"]:
        click.echo(f"mixframe: warning: {warning}", err=True)


FILE = click.Path(path_type=Path)
NONSPEECH = "What non-speech between two fake stretches counts as; default bonafide."
KEYS = "ASVspoof 5 key or protocol, 2021 trial_metadata.txt, 2019 protocol, or a manifest."


@click.command()
@click.argument("scores", required=False, type=FILE)
@click.option("--keys", type=FILE, help=KEYS)
@click.option("--by", metavar="COLUMNS", help="Break down by columns of the keys: attack,codec.")
@click.option("--asv", type=FILE, help="ASV scores, for the min t-DCF.")
@click.option("--asv-keys", type=FILE, help="ASV trial_metadata.txt; 2021 only.")
@click.option("--dev", type=FILE, help="Scores of a development set, to calibrate with.")
@click.option("--dev-keys", type=FILE, help="Its keys.")
@click.option("--frames", type=FILE, help="Scores of frames; with --regions, without SCORES.")
@click.option("--regions", type=FILE, help="Where speech is fake: RTTM, a .vad folder ...")
@click.option(
    "--resolution",
    metavar="SECONDS",
    help="Of the segments of --frames: 0.02,0.16 ... [default: 0.02]",
)
@click.option("--step", type=float, help="Seconds a frame, of scores without starts; default 0.02.")
@click.option("--nonspeech", type=click.Choice(["bonafide", "spoof"]), help=NONSPEECH)
@click.option("--min-iou", type=float, help="From which a run of segments is right; default 0.5.")
@click.option("--dev-frames", type=FILE, help="Scores of a development set, for a threshold.")
@click.option("--dev-regions", type=FILE, help="Its labels.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Threads; 0 = all cores.")
@_file_options
def evaluate(
    scores: Path | None,
    keys: Path | None,
    by: str | None,
    asv: Path | None,
    asv_keys: Path | None,
    dev: Path | None,
    dev_keys: Path | None,
    frames: Path | None,
    regions: Path | None,
    dev_frames: Path | None,
    dev_regions: Path | None,
    workers: int,
    **options: Any,
) -> None:
    """Evaluate SCORES, a score file of any system, against --keys.

    With --frames and --regions instead: scores of frames, against labels of where speech is fake;
    --keys then say what else is known of the utterances, if anything.

    With --system NAME instead: stage evaluate, for one system of the preset (`mixframe evaluate
    --system NAME --help`).
    """
    columns = by.split(",") if by else []
    _check_json(
        *(options["json"], scores, keys, asv, asv_keys, dev, dev_keys),
        *(frames, regions, dev_frames, dev_regions),
    )
    of_frames = {key: options.pop(key) for key in ("resolution", "step", "nonspeech", "min_iou")}
    if frames is not None and regions is not None:
        if scores or dev or dev_keys or asv or asv_keys:
            raise click.UsageError("SCORES, --dev and --asv do not go with --frames")
        if (dev_frames is None) != (dev_regions is None):
            raise click.UsageError("--dev-frames goes with --dev-regions")
        dev_files = (dev_frames, dev_regions) if dev_frames and dev_regions else None
        _evaluate_frames(frames, regions, keys, dev_files, columns, workers, of_frames, options)
        return
    if frames or regions or dev_frames or dev_regions or any(of_frames.values()):
        raise click.UsageError("options of frame scores need --frames and --regions")
    if scores is None or keys is None:
        raise click.UsageError("give SCORES --keys KEYS, or --system NAME for one of the preset")
    if (dev is None) != (dev_keys is None) or (asv_keys is not None and asv is None):
        raise click.UsageError("--dev goes with --dev-keys, --asv-keys with --asv")
    from mixframe.metrics import scorecard
    from mixframe.metrics.protocols import read_asv

    figures = scorecard.evaluate(
        scores,
        _inputs(keys, workers, options),
        columns,
        read_asv(asv, asv_keys, options["subset"] or "eval") if asv else None,
        (dev, dev_keys) if dev and dev_keys else None,
    )
    _say(figures, scorecard.evaluation_text(figures), options["json"])


def _evaluate_frames(
    frames: Path,
    regions: Path,
    keys: Path | None,
    dev: tuple[Path, Path] | None,
    by: list[str],
    workers: int,
    of_frames: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Evaluate scores of frames; see `evaluate`."""
    from mixframe.metrics import framecard

    try:
        resolutions = [float(text) for text in (of_frames["resolution"] or "0.02").split(",")]
    except ValueError as error:
        raise click.UsageError(f"--resolution {of_frames['resolution']}: no seconds") from error
    names = ("subset", "unit", "resamples", "level", "seed")
    inputs = framecard.FrameInputs(
        frames,
        regions,
        resolutions,
        step=0.02 if of_frames["step"] is None else of_frames["step"],
        nonspeech=of_frames["nonspeech"] or "bonafide",
        keys=keys,
        dev=dev,
        min_iou=0.5 if of_frames["min_iou"] is None else of_frames["min_iou"],
        workers=workers or os.cpu_count() or 1,
        **{name: options[name] for name in names},
    )
    figures = framecard.evaluate(inputs, by)
    _say(figures, framecard.text(figures), options["json"])


@click.command()
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

    _check_json(options["json"], first, second, keys)
    figures = scorecard.compare(first, second, _inputs(keys, workers, options))
    _say(figures, scorecard.comparison_text(figures), options["json"])


class _Lists(click.Command):
    """Lets `--dev A B C` stand for `--dev A --dev B --dev C`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread, inside = [], False
        for before, arg in zip(["", *args], args, strict=False):
            inside = not arg.startswith("--") and (inside or before == "--dev")
            spread += ["--dev", arg] if inside and before != "--dev" else [arg]
        return super().parse_args(ctx, spread)


@click.command(cls=_Lists)
@click.argument("scores", type=FILE, nargs=-1, required=True)
@click.option("--keys", type=FILE, required=True, help=KEYS)
@click.option("--subset", metavar="NAME", help="Of the keys; default eval, or all of them.")
@click.option(
    "--dev",
    type=FILE,
    multiple=True,
    required=True,
    metavar="FILE...",
    help="Scores of a development set, a file a system, in the order of SCORES.",
)
@click.option("--dev-keys", type=FILE, required=True, help="Its keys.")
@click.option("--dev-subset", metavar="NAME", help="Of its keys.")
@click.option("--output", type=FILE, required=True, help="The fused scores.")
def fuse(
    scores: tuple[Path, ...],
    keys: Path,
    subset: str | None,
    dev: tuple[Path, ...],
    dev_keys: Path,
    dev_subset: str | None,
    output: Path,
) -> None:
    """Fuse SCORES, a score file of each system on the same trials, into one.

    The weights are fitted on the development set. Fused scores are natural log-likelihood ratios.
    """
    if len(dev) != len(scores):
        raise click.UsageError(f"{len(scores)} score files, but {len(dev)} of the dev set")
    from mixframe.base.outputs import check_outputs
    from mixframe.metrics import fusion
    from mixframe.metrics.detection import eer
    from mixframe.metrics.scorefiles import write_scores

    check_outputs([output], [*scores, keys, *dev, dev_keys])
    table = fusion.read(scores, keys, subset)
    fused, llr = fusion.fuse(table, fusion.read(dev, dev_keys, dev_subset))
    write_scores(output.resolve(), table["trial"].tolist(), llr)
    bonafide = table["label"] == "bonafide"
    click.echo("EER, %   weight  system")
    for number, (path, weight) in enumerate(zip(scores, fused.weights, strict=True)):
        rate = eer(table.loc[bonafide, number], table.loc[~bonafide, number])
        click.echo(f"{100 * rate:6.2f} {weight:8.4f}  {path}")
    rate = eer(llr[bonafide], llr[~bonafide])
    click.echo(f"{100 * rate:6.2f}           {output}, offset {fused.offset:.4f}")


@click.command()
@click.argument("names", metavar="[IN] OUT", nargs=-1, required=True, type=FILE)
@click.option("--condition", metavar="NAME", help="opus_12k, white_snr10 ...")
@click.option(
    "--conditions", type=FILE, help="Where it stands; default presets/conditions/ready.yaml."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is drawn."
)
@click.option("--plan", type=FILE, help="What stage distort planned; with --row, without IN.")
@click.option("--row", type=click.IntRange(0), help="Of the plan, from 0.")
def distort(
    names: tuple[Path, ...],
    condition: str | None,
    conditions: Path | None,
    seed: int,
    plan: Path | None,
    row: int | None,
) -> None:
    """Write to OUT, WAV or FLAC, what becomes of the recording IN under a condition.

    IN is anything that FFmpeg decodes; OUT has 16 kHz, 16 bit and one channel. With --plan and
    --row: what a system hears of that row.

    With --set NAME instead: stage distort, for one set of the preset (`mixframe distort --set NAME
    --help`).
    """
    from mixframe.audio.distortions.conditions import READY, read_condition
    from mixframe.audio.distortions.files import distort_file
    from mixframe.audio.io import SAMPLE_RATE
    from mixframe.experiment.project import ready

    if (plan is None) != (row is None) or (plan is None) == (condition is None):
        raise click.UsageError("expected --condition, or --plan with --row")
    if len(names) != (2 if plan is None else 1):
        raise click.UsageError("expected IN and OUT, with --plan OUT alone")
    if plan is not None and row is not None:
        click.echo(_written_row(plan, row, names[0]))
        return
    section = read_condition(str(condition), conditions or ready(READY))
    source, target = names
    before, after = (n / SAMPLE_RATE for n in distort_file(source, target, section, seed))
    click.echo(f"{target}: {condition}, seed {seed}, {before:.2f} s in, {after:.2f} s out")
    click.echo(json.dumps(section.model_dump()))


def _written_row(plan: Path, number: int, target: Path) -> str:
    """Write the audio of a row of a plan, and say what it is."""
    from mixframe.audio.distortions.files import write_wave
    from mixframe.audio.distortions.planning import read_plan, render
    from mixframe.base.errors import MixframeError

    rows = read_plan(plan)
    if number >= len(rows):
        raise MixframeError(f"{plan}: no row {number}; expected 0 to {len(rows) - 1}")
    row = rows[number]
    write_wave(target, render(row))
    return f"{target}: {row.utterance}, {row.condition}, seed {row.seed}\n{row.chain}".rstrip()


@click.command()
@click.argument("name", required=False)
def use(name: str | None) -> None:
    """Make NAME the preset in params.yaml, with its grid, and its folders under results/.

    Without NAME: take over the grid of the preset that is there. Values of the grid that were
    edited in params.yaml, and are lost, are printed. What dvc.lock says of other presets moves to
    locks/<preset>.lock and comes back with them.
    """
    from ruamel.yaml import YAML

    from mixframe.base.files import atomic_path
    from mixframe.base.schema import validate
    from mixframe.base.yamlfiles import read_yaml
    from mixframe.experiment import dag
    from mixframe.experiment.params import (
        Choice,
        choice_of,
        grid_differences,
        need_project,
        read_choice,
        read_preset,
    )

    yaml, path = YAML(), Path("params.yaml")
    yaml.width = 1000
    need_project()
    before = validate(Choice, read_yaml(path), str(path))
    name = name or before.preset
    preset = read_preset(name)
    grid = preset.grid
    for key, (own, of_preset) in grid_differences(before, read_preset(before.preset)).items():
        if own != grid.model_dump()[key]:
            click.echo(
                f"params.yaml: grid.{key} = {own} goes; presets/{before.preset}.yaml has "
                f"{of_preset}",
                err=True,
            )
    written = yaml.load(path)
    for place, values in choice_of(name, preset).items():
        if not isinstance(values, dict):
            written[place] = values
            continue
        for key, value in values.items():
            if isinstance(value, list):
                # In place, so that a list keeps its comments and its form; an empty one has none.
                kept = written[place][key]
                if not kept:
                    kept.fa.set_flow_style()
                kept[:] = value
            else:
                written[place][key] = value
    with atomic_path(path) as temporary:
        yaml.dump(written, temporary)
    dag.choose_lock(name, preset.base)
    dag.make_folders()
    click.echo(f"params.yaml: preset {name}, {len(read_choice().grid.system)} systems")


@click.command()
def dag() -> None:
    """Print the stages of the pipeline: how many cells each has, and what it comes after."""
    import networkx

    from mixframe.experiment import dag as pipeline

    stages = pipeline.read_stages()
    makers = {path: s.name for s in stages for cell in s.cells.values() for path in cell.outputs}
    order = networkx.DiGraph()
    for stage in stages:
        order.add_node(stage.name)
        for path in (path for cell in stage.cells.values() for path in cell.inputs):
            if path in makers:
                order.add_edge(makers[path], stage.name)
    # What comes after the last one comes after those before it as well.
    order = networkx.transitive_reduction(order)
    width = max(len(stage.name) for stage in stages)
    for stage in stages:
        after = ", ".join(s.name for s in stages if order.has_edge(s.name, stage.name))
        click.echo(
            f"{stage.name:{width}}  {len(stage.cells):3}  {after and f'after {after}'}".rstrip()
        )
    click.echo(f"{sum(len(stage.cells) for stage in stages)} cells")


@click.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
def show(preset: str | None) -> None:
    """Print the result table of a preset and say where its report is."""
    from mixframe.base.files import need_file
    from mixframe.experiment.layout import Layout
    from mixframe.experiment.params import read_choice, read_preset

    name = preset or read_choice().preset
    files = Layout(name, trained=read_preset(name).trained)
    click.echo("EER in % with 95 % intervals; lower is better\n")
    click.echo(need_file(files.table, "summary").read_text(encoding="utf-8"))
    click.echo(f"Report: {need_file(files.report, 'report').absolute()}")


@click.command()
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


@click.command()
@click.argument("folder", type=FILE, default=".")
@click.option("--update", is_flag=True, help="Tell a project that the package is another one.")
def init(folder: Path, update: bool) -> None:
    """Make a project in FOLDER: parameters, presets, dvc.yaml and the workflow.

    With --update: write only the file by which DVC sees that the installed package changed.
    """
    from mixframe.experiment import dag, project

    if update:
        click.echo(f"written: {project.update(folder)}")
        return
    made = project.init(folder)
    dag.make_folders(folder)
    click.echo(f"{folder}: {len(made)} files; `mixframe use smoke` and `dvc repro` there try it")


@click.command()
@click.argument("name")
@click.option("--from", "base", required=True, metavar="BASE", help="The preset to copy.")
@click.option(
    "--vary",
    multiple=True,
    metavar="SYSTEM:SECTION.KEY=V1,V2",
    help="Add a variant of a system for each value; several of one system are combined.",
)
@click.option("--seed", "seeds", type=click.IntRange(0), multiple=True, help="Of the grid.")
def new(name: str, base: str, vary: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    """Write the preset NAME: a copy of another one, on its corpus and foundation model."""
    from mixframe.experiment import project
    from mixframe.experiment.params import read_preset

    path = project.new(name, base, vary, seeds)
    grid = read_preset(name).grid
    click.echo(f"{path}: {', '.join(grid.system)}; seeds {', '.join(map(str, grid.seed))}")


@click.command()
@click.argument("section", required=False)
@click.option("--preset", metavar="NAME", help="Preset; without it that of params.yaml.")
@click.option("--count", is_flag=True, help="Print how many parameters each neural system has.")
def params(section: str | None, preset: str | None, count: bool) -> None:
    """Print the validated configuration, or one SECTION of it (splice, finetune.lora ...)."""
    import yaml

    from mixframe.base.schema import Section
    from mixframe.experiment.params import read_choice, read_preset, value_of

    name = preset or read_choice().preset
    if count:
        from mixframe.experiment.layout import Layout
        from mixframe.experiment.sizes import count_all

        given = read_preset(name)
        for system, (total, trained) in count_all(given, Layout(name, base=given.base)).items():
            click.echo(f"{system}: {trained:,} of {total:,} parameters trained")
        return
    values: Any = value_of(read_preset(name), section or "")
    if isinstance(values, Section):
        # The keys of a preset that may be left out are.
        values = values.model_dump(exclude_defaults=True)
    elif isinstance(values, dict):
        values = {key: v.model_dump() if isinstance(v, Section) else v for key, v in values.items()}
    click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip())


@click.command()
@click.option("--write", is_flag=True, help="Take what this machine gives as what is expected.")
def fingerprint(write: bool) -> None:
    """Tell in seconds whether this machine computes the same bytes as others.

    Exit code 1 if a computation gives others than the committed ones.
    """
    from mixframe.base.errors import MixframeError
    from mixframe.experiment import machine

    results = machine.fingerprint()
    for result in results:
        mark = "ok" if result.agrees else f"expected {result.expected}"
        click.echo(f"{result.name:34} {result.made}  {mark}")
    if write:
        machine.renew(results)
        click.echo(f"{machine.EXPECTED}: {len(results)} hashes written")
    elif not all(result.agrees for result in results):
        raise MixframeError(machine.verdict(results))
    else:
        click.echo(machine.verdict(results))


@click.command()
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1), help="Default: all cores.")
@click.option(
    "--steps",
    type=click.IntRange(2),
    default=20,
    show_default=True,
    help="Of training, measured of each kind of cell.",
)
@click.option(
    "--utterances",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Scored, of each kind of cell.",
)
@click.option(
    "--at-most",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Of one measurement; where it would take longer, it has fewer steps or utterances.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.5),
    help="Mean length of an utterance, where the corpus has not been read.",
)
@click.option(
    "--watts",
    type=click.FloatRange(0, min_open=True),
    help="What the machine draws; default: the limit of its GPU, or 15 a core.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write it there too; - for stdout.")
def doctor(
    preset: str | None,
    device: str | None,
    threads: int | None,
    steps: int,
    utterances: int,
    at_most: float,
    seconds: float | None,
    watts: float | None,
    json_file: str | None,
) -> None:
    """Say what this machine is, what a preset lacks, and how long it will take here.

    The forecast trains and scores a little of each kind of cell, on noise and with random weights:
    neither corpus nor foundation model must be there. It writes no results.
    """
    from dataclasses import asdict

    from mixframe.base import isa
    from mixframe.base.files import json_text
    from mixframe.base.imports import importing
    from mixframe.base.outputs import write_output
    from mixframe.experiment.layout import Layout
    from mixframe.experiment.params import read_choice, read_preset

    _check_json(json_file)
    name = preset or read_choice().preset
    given = read_preset(name)
    if given.compute.isa == "native":
        isa.begin_again()
    with importing():
        from mixframe.experiment import doctor
        from mixframe.experiment.rehearsal import Limits

    quiet = json_file == "-"
    wanted = {"device": device, "threads": threads, "workers": threads}
    compute = {key: value for key, value in wanted.items() if value is not None}

    def say(title: str, lines: list[str]) -> None:
        if not quiet:
            click.echo("\n  ".join([title, *lines]))

    machine = doctor.machine_lines(given.compute.model_copy(update=compute))
    say("machine", machine)
    state = doctor.preset_lines(given, Layout(name, base=given.base))
    say(f"preset {name}", state)
    limits = Limits(steps, utterances, at_most)
    outlook = doctor.forecast(name, compute, limits, watts, seconds)
    say("forecast", doctor.forecast_lines(outlook))
    figures = {
        "machine": machine,
        "preset": {"name": name, "state": state},
        "forecast": {**asdict(outlook), "kilowatt_hours": outlook.kilowatt_hours},
    }
    if quiet:
        click.echo(json_text(figures).rstrip())
    elif json_file is not None:
        write_output(Path(json_file), json_text(figures))


@click.group()
def corpus() -> None:
    """Corpora of a preset: take up ready entries, look at what a run would see."""


@corpus.command("check")
@click.argument("preset", required=False)
def check_corpora(preset: str | None) -> None:
    """Read and count the trials of PRESET's corpora of kind table, and decode ten files a set.

    Names trials that training has heard. Writes nothing. Default: the preset in params.yaml.
    """
    from mixframe.audio import manifest
    from mixframe.corpora.check import check
    from mixframe.experiment.layout import Layout
    from mixframe.experiment.params import lookup, read_choice, read_preset

    name = preset or read_choice().preset
    given = read_preset(name)
    sections = {
        key: (lookup(given.download, key, "download"), section)
        for key, section in given.protocol.corpora.items()
    }
    written = Layout(name, base=given.base).manifest
    others = manifest.read(written) if written.is_file() else None
    for line in check(sections, others):
        click.echo(line)


@corpus.command("new")
@click.argument("name")
@click.option("--from", "base", required=True, metavar="BASE", help="The preset to copy.")
@click.option(
    "--corpus", "entries", multiple=True, required=True, help="An entry of presets/corpora."
)
@click.option("--alone", is_flag=True, help="Leave the corpora of BASE out.")
def new_corpora(name: str, base: str, entries: tuple[str, ...], alone: bool) -> None:
    """Write the preset NAME: a copy of BASE with further corpora, and their evaluation sets."""
    from mixframe.base.errors import MixframeError
    from mixframe.base.files import write_text
    from mixframe.base.yamlfiles import parse_yaml
    from mixframe.corpora.entries import with_corpora
    from mixframe.experiment.params import PRESETS, need_project, preset_path, validate_preset

    need_project()
    path = PRESETS / f"{name}.yaml"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise MixframeError(f"{name!r}: a preset's name has letters, digits, dashes, underscores")
    if path.exists():
        raise MixframeError(f"{path}: already there; nothing was written")
    text = with_corpora(preset_path(base), name, entries, alone)
    validate_preset(parse_yaml(text, path), path)
    write_text(path, text)
    click.echo(f"{path}: with {', '.join(entries)}; edit path and trials of each there")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def warm(command: tuple[str, ...]) -> None:
    """Run COMMAND, an engine, so that its stages need not import torch and the like anew.

    `mixframe warm snakemake --cores 2`, `mixframe warm dvc repro`: on Linux each stage starts from
    a copy of one process that has the packages imported, and ends as it would otherwise.
    """
    from mixframe.experiment.warm import run

    raise SystemExit(run(command))


COMMANDS: dict[str, click.Command] = {
    command.name or "": command
    for command in (
        arena,
        compare,
        corpus,
        dag,
        detect,
        distort,
        doctor,
        evaluate,
        export,
        fingerprint,
        fuse,
        import_,
        init,
        new,
        params,
        serve,
        show,
        timings,
        use,
        warm,
    )
}
"""By name."""
