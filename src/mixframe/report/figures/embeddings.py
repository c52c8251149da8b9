"""Utterances as the encoder sees them, before and after post-training: two principal components."""

from functools import partial

import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.figure import FigureBase

from mixframe.base.shown import visible
from mixframe.report.collect import Collected
from mixframe.report.draw import BLUE, COLOURS, MUTED, ORANGE, Drawing, Key, Line, plain

TITLE = "Embeddings before and after post-training"
CAPTION = """\
<b>Utterances of <code>{set}</code> in the encoder's last layer</b>, before any fine-tuning: the
mean over frames, in the plane of its first two principal components, which are each encoder's own.
In brackets: their share of the variance."""
COLUMNS = ["encoder", "utterance", "label", "attack", "x", "y"]


def figure(data: Collected) -> Drawing:
    """Draw `data.embeddings`."""
    return drawing(data.embeddings, data.preset.embed.set)


def drawing(embeddings: pd.DataFrame, name: str) -> Drawing:
    """Draw a panel an encoder.

    Args:
        embeddings: encoder, utterance, label, attack, embedding.
        name: of the set, for the caption.
    """
    spoof = embeddings.loc[embeddings["label"] == "spoof", "attack"]
    colours = attack_colours(sorted(spoof.unique()))
    parts, panels = [], {}
    for encoder, rows in embeddings.groupby("encoder", sort=False):
        points, shares = project(np.stack(rows["embedding"].tolist()), rows["label"] == "bonafide")
        placed = rows.assign(x=points[:, 0], y=points[:, 1])[COLUMNS]
        parts.append(placed)
        panels[f"Embeddings of utterances, encoder {encoder}"] = partial(
            panel, title=str(encoder), points=placed, shares=shares, colours=colours
        )
    legend = [Key("bona fide", Line(BLUE), 1.0)]
    if len(set(colours.values())) == len(colours):
        legend += [Key(attack, Line(colour), 0.7) for attack, colour in colours.items()]
    else:
        legend.append(Key(f"spoof, {len(colours)} attacks", Line(ORANGE), 0.7))
    return Drawing(
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS),
        panels,
        (3.0, 2.8),
        CAPTION.format(set=escape(visible(name))),
        title=TITLE if panels else "",
        note="No encoder was post-trained.",
        legend=legend,
    )


def attack_colours(attacks: list[str]) -> dict[str, str]:
    """Give every attack a colour of its own, or all of them one where there are too many."""
    own = [*(colour for colour in COLOURS if colour != BLUE), MUTED]
    if len(attacks) > len(own):
        return dict.fromkeys(attacks, ORANGE)
    return dict(zip(attacks, own, strict=False))


def project(embeddings: np.ndarray, bonafide: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Project on the first two principal components.

    Args:
        embeddings: (N, D).
        bonafide: (N,) which of them are; their mean has no positive coordinate, since the sign of
            a component is arbitrary.

    Returns:
        (N, 2) coordinates and (2,) shares of the variance.
    """
    centred = np.zeros((len(embeddings), max(2, embeddings.shape[1])))
    centred[:, : embeddings.shape[1]] = embeddings - embeddings.mean(0, dtype=np.float64)
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(embeddings), 2))
    points[:, : len(sizes)] = centred @ components[:2].T
    points *= np.where(points[bonafide.to_numpy()].sum(0) > 0, -1, 1)
    power = np.append(sizes**2, 0)[:2] / max(float((sizes**2).sum()), np.finfo(float).tiny)
    return points, power


def panel(
    canvas: FigureBase,
    title: str,
    points: pd.DataFrame,
    shares: np.ndarray,
    colours: dict[str, str],
) -> None:
    """Draw one encoder; `points` has label, attack, x and y."""
    axis = canvas.subplots()
    spoof = points[points["label"] == "spoof"]
    shades = [colours[attack] for attack in spoof["attack"]]
    axis.scatter(spoof["x"], spoof["y"], s=13, c=shades, alpha=0.7, linewidths=0)
    bonafide = points[points["label"] == "bonafide"]
    axis.scatter(
        bonafide["x"], bonafide["y"], s=20, c=BLUE, edgecolors="white", linewidths=0.5, zorder=3
    )
    axis.set(title=plain(title), xticks=[], yticks=[])
    axis.set_xlabel(f"component 1 ({100 * shares[0]:.0f} %)")
    axis.set_ylabel(f"component 2 ({100 * shares[1]:.0f} %)")
