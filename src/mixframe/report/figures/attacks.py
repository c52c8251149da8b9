"""EER of each system on each attack."""

from mixframe.report.collect import Collected
from mixframe.report.draw import Drawing
from mixframe.report.figures.conditions import drawing

CAPTION = """\
<b>EER of each attack</b> against all bona fide trials of its set, in percent; columns without a
dot are attacks that no system was trained on. The colour scale is that of the square root and
ends at 50&nbsp;%, chance."""


def figure(data: Collected) -> Drawing:
    """Draw `data.attacks`."""
    return drawing(data.attacks, data.grid.system, data.grid.set, CAPTION)
