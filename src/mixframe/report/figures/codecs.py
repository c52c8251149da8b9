"""EER of each system on each codec."""

from mixframe.report.collect import Collected
from mixframe.report.draw import Drawing
from mixframe.report.figures.conditions import drawing

CAPTION = """\
<b>EER of each codec</b>, trials of both classes restricted to it, in percent. Below each name,
spoofed and bona fide trials."""


def figure(data: Collected) -> Drawing:
    """Draw `data.codecs`."""
    return drawing(data.codecs, data.grid.system, data.grid.set, CAPTION)
