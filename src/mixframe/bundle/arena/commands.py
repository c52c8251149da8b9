"""The commands `mixframe arena ...`.

What takes seconds to import is imported when a command runs.
"""

import shlex
from pathlib import Path

import click

PATH = click.Path(path_type=Path)
PRESET = click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
LABELS = "labels.parquet of the data set at its commit"


@click.group()
def arena() -> None:
    """Write and check submissions to the Speech Anti-Spoofing Arena, and rank as it does."""


@arena.command()
@click.option("--system", required=True, metavar="NAME", help="A system of the grid.")
@click.option(
    "--dataset",
    required=True,
    metavar="SET",
    help="A set that a data set of the Arena makes; or OWNER/NAME@COMMIT, of files.",
)
@PRESET
@click.option("--seed", type=click.IntRange(0), help="Default: the first of the grid.")
@click.option("--meta", type=PATH, required=True, metavar="YAML", help="System and submitter.")
@click.option("--to", "folder", type=PATH, required=True, metavar="FOLDER")
@click.option("--commit", metavar="SHA", help="Of the model's repository that has scores.txt.")
@click.option("--scores", type=PATH, metavar="FILE", help="With OWNER/NAME@COMMIT: its scores.")
@click.option("--labels", type=PATH, metavar="FILE", help=f"With OWNER/NAME@COMMIT: {LABELS}.")
@click.option("--calibrate", metavar="SET", help="Write the EER threshold of this set as well.")
@click.option("--schema", type=click.Choice(["4", "5"]), default="5", show_default=True)
@click.option("--date", metavar="YYYY-MM-DD", help="Of the submission; default today.")
def submit(
    system: str,
    dataset: str,
    preset: str | None,
    seed: int | None,
    meta: Path,
    folder: Path,
    commit: str | None,
    scores: Path | None,
    labels: Path | None,
    calibrate: str | None,
    schema: str,
    date: str | None,
) -> None:
    """Write scores.txt and <slug>.yaml, check them, and print the commands that upload them.

    Without --commit only scores.txt is written: <slug>.yaml names the commit that has it on the
    hub. Nothing is uploaded.
    """
    if ("@" in dataset) != (scores is not None) or (scores is None) != (labels is None):
        raise click.UsageError("--dataset OWNER/NAME@COMMIT, --scores and --labels go together")
    from mixframe.base.outputs import check_outputs
    from mixframe.bundle.arena import writing
    from mixframe.bundle.arena.submission import read_meta

    about = read_meta(meta)
    made = [folder / writing.SCORES, folder / f"{about.system.slug}.yaml"]
    check_outputs(made, [path for path in (meta, scores, labels) if path])
    origin = writing.source(system, preset, seed)
    scored = (
        writing.of_files(dataset, scores, labels)
        if scores and labels
        else writing.of_set(origin, dataset)
    )
    calibration = writing.calibrate(writing.of_set(origin, calibrate)) if calibrate else None
    measured = writing.measure(scored, calibration)
    path = writing.write_scores(scored, folder)
    for name, value in measured.metrics.items():
        click.echo(f"{name} {value}")
    click.echo(f"{measured.n_trials:,} trials, {measured.n_skipped:,} without a score")
    if commit is None:
        click.echo(f"{path}: written; upload it, and come back with its --commit:")
        target = f"{writing.place(scored)} --repo-type model"
        click.echo(f"  hf upload {about.model_repo} {shlex.quote(str(path))} {target}")
        sha = f"import huggingface_hub as h; print(h.model_info('{about.model_repo}').sha)"
        click.echo(f'  python -c "{sha}"')
        return
    path = writing.write_submission(
        origin,
        scored,
        about,
        folder,
        commit,
        schema=int(schema),
        calibration=calibration,
        date=date,
    )
    quoted = shlex.quote(str(path))
    click.echo(f"{path}: written; passes the maintainers' checks. With the network:")
    click.echo(f"  speech-spoof-bench reproduce {quoted} --scoring --no-local")
    target = f"submissions/{path.name} --repo-type dataset --create-pr"
    click.echo(f"  hf upload {scored.dataset.id} {quoted} {target}")


@arena.command()
@click.argument("submission", type=PATH)
@click.option("--scores", type=PATH, required=True, metavar="FILE", help="Its scores.txt.")
@click.option("--labels", type=PATH, required=True, metavar="FILE", help=f"{LABELS}, or manifest.")
@click.option("--set", "set_name", metavar="NAME", help="Of the manifest.")
def check(submission: Path, scores: Path, labels: Path, set_name: str | None) -> None:
    """Make the maintainers' checks of SUBMISSION, <slug>.yaml, without a network."""
    from mixframe.bundle.arena.checks import check as run
    from mixframe.bundle.arena.checks import read_trials

    checked = run(submission, scores, read_trials(labels, set_name))
    for name, value in checked.scores.metrics.items():
        click.echo(f"{name} {value}")
    click.echo(f"{submission}: passes the maintainers' checks")


@arena.command()
@click.argument("manifest", type=PATH)
@click.option("--from", "base", required=True, metavar="BASE", help="The preset that trains.")
@click.option("--name", default="arena_core", show_default=True, help="Of the new preset.")
def core(manifest: Path, base: str, name: str) -> None:
    """Write a preset over the Core sets of MANIFEST, the Arena's manifest.yaml."""
    from mixframe.bundle.arena.core import read_arena_manifest, write_preset

    path, left_out = write_preset(read_arena_manifest(manifest), base, name)
    for entry in left_out:
        click.echo(f"{entry.id}: left out, its metric is {entry.metric}", err=True)
    click.echo(f"{path}: written; `mixframe use {name}` chooses it")


@arena.command()
@PRESET
@click.option("--manifest", type=PATH, metavar="YAML", help="Of the Arena: rank over its Core.")
def table(preset: str | None, manifest: Path | None) -> None:
    """Print the EER of each set of a preset, averaged and pooled over the sets, in Markdown."""
    from mixframe.bundle.arena import core
    from mixframe.experiment.params import read_choice, read_preset

    choice = read_choice()
    name = preset or choice.preset
    grid = choice.grid if name == choice.preset else read_preset(name).grid
    of_arena = core.read_arena_manifest(manifest) if manifest else None
    ranked = core.rows(name, grid, of_arena)
    click.echo(core.ranking(ranked, grid.system, of_arena), nl=False)
