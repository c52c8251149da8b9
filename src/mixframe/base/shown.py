"""Names that come from data, made harmless for what shows them."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    """Replace control characters, and marks that turn the direction of text, by U+FFFD.

    They would change what is around them: a name with a right-to-left override reads backwards with
    everything behind it. Tabs and line feeds stay.
    """
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def cell(text: str) -> str:
    """Keep spreadsheets from taking the text of a cell for a formula; a lone "-" is none."""
    risky = text.startswith(("=", "+", "-", "@", "\t", "\r")) and text != "-"
    return f"'{text}" if risky else text


def cells(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table with `cell` of every text."""
    texts = table.select_dtypes(["object", "string"])
    made = {n: c.map(lambda v: cell(v) if isinstance(v, str) else v) for n, c in texts.items()}
    return table.assign(**made)
