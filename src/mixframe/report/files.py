"""The figures as files, which a process of its own writes while the page is made."""

import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mixframe.base.files import write_text
from mixframe.base.shown import cells
from mixframe.report.draw import Drawing, to_png, to_svg


@contextmanager
def written(drawings: Mapping[str, Drawing], folder: Path, workers: int) -> Iterator[None]:
    """Write all figures into a folder, by the end of the body of `with`.

    Args:
        workers: with 1, and elsewhere than on Linux, they are written before the body.

    Raises:
        MixframeError: a file cannot be written.
    """
    if workers == 1 or sys.platform != "linux":
        _write(drawings, folder)
        yield
        return
    # Functions inside functions, of which drawings are made, go to a fork and to no other process.
    # It draws and needs nothing of torch, whose threads it does not have.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, fork, initializer=_given.update, initargs=(drawings,)) as pool:
        future = pool.submit(_write_given, folder)
        yield
        future.result()


_given: dict[str, Drawing] = {}
"""The drawings of a fork."""


def _write_given(folder: Path) -> None:
    _write(_given, folder)


def _write(drawings: Mapping[str, Drawing], folder: Path) -> None:
    for name, drawing in drawings.items():
        figure = drawing.whole()
        table = cells(drawing.table).to_csv(index=False, lineterminator="\n")
        (folder / f"{name}.png").write_bytes(to_png(figure))
        # Where the axes lie is settled.
        figure.set_layout_engine("none")
        write_text(folder / f"{name}.svg", to_svg(figure))
        write_text(folder / f"{name}.csv", table)
