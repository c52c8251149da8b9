"""The commands `export` and `import`: bundles out of results, foundation models into folders.

What takes seconds to import is imported when a command runs.
"""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--system", metavar="NAME", help="A system of the grid.")
@click.option("--seed", type=click.IntRange(0), help="Default: the first of the grid.")
@click.option("--preset", metavar="NAME", help="Default: the one in params.yaml.")
@click.option("--to", "folder", type=PATH, required=True, metavar="FOLDER", help="A new folder.")
@click.option(
    "--license",
    "license_name",
    default="unknown",
    show_default=True,
    metavar="ID",
    help="Of the weights, as the hub names it, for README.md.",
)
@click.option(
    "--push", metavar="OWNER/NAME", help="To the Hugging Face hub; a new repository is private."
)
@click.option(
    "--torchscript", type=PATH, metavar="FILE", help="Write the whole detector for torch alone too."
)
@click.option(
    "--transformers",
    type=PATH,
    metavar="FOLDER",
    help="Write it as AutoModelForAudioClassification with code of its own too.",
)
@click.option("--dry-run", is_flag=True, help="With --push: list what would go, upload nothing.")
def export(
    system: str | None,
    seed: int | None,
    preset: str | None,
    folder: Path,
    license_name: str,
    push: str | None,
    torchscript: Path | None,
    transformers: Path | None,
    dry_run: bool,
) -> None:
    """Write a trained system as a bundle: one folder that works without the project.

    `mixframe detect FILE --model FOLDER` hears with it. Without --system, --push, --torchscript and
    --transformers take a bundle that is there already.
    """
    if dry_run and not push:
        raise click.UsageError("--dry-run goes with --push OWNER/NAME")
    if system is None and not (push or torchscript or transformers):
        raise click.UsageError(
            "give --system NAME; --push, --torchscript and --transformers take a bundle as well"
        )
    if torchscript:
        from mixframe.bundle.script import check_new, write_script

        check_new(torchscript)
    if system is not None:
        from mixframe.bundle.writing import write_bundle

        contents = write_bundle(system, preset, seed, folder, license_name)
        click.echo(f"{folder}: {contents.name}, {len(contents.files)} files of weights")
    if torchscript:
        write_script(folder, torchscript)
        click.echo(f"{torchscript}: (n,) samples at 16 kHz to a score")
    if transformers:
        from mixframe.bundle.classifier import write_classifier

        write_classifier(folder, transformers)
        click.echo(f"{transformers}: AutoModelForAudioClassification")
    if push:
        from mixframe.bundle.pushing import listing, upload

        if dry_run:
            click.echo(listing(folder, push))
        else:
            click.echo(upload(folder, push))


@click.group("import")
def import_() -> None:
    """Make a foundation model for `pretrain: {kind: folder}` of weights in another form."""


@import_.command()
@click.argument("source", type=PATH, metavar="FOLDER")
@click.option("--to", "folder", type=PATH, required=True, metavar="FOLDER", help="A new folder.")
def antideepfake(source: Path, folder: Path) -> None:
    """Convert an encoder of AntiDeepfake (nii-yamagishilab), FOLDER/model.safetensors.

    Its weights are CC BY-NC-SA 4.0.
    """
    from mixframe.bundle.antideepfake import convert

    click.echo(f"{folder}: {convert(source, folder)}")
