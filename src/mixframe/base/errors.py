"""The one error type a user sees: a message that names the place, what was found and what to do."""

import errno
from collections.abc import Sequence

REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""By which the system says that a place is not for writing; others may be mistakes of a program."""


class MixframeError(Exception):
    """Bad input, configuration or environment. The command line prints it and exits with 1."""


LONGEST = 500
"""Characters of one problem in a list of them."""


def listing(problems: Sequence[str], limit: int = 20) -> str:
    """Join problems one a line, at most `limit` of them, and say how many more there are."""
    shown = [f"  {_short(p)}" for p in problems[:limit]]
    if len(problems) > limit:
        shown.append(f"  ... and {len(problems) - limit:,} more")
    return "\n".join(shown)


def _short(problem: str) -> str:
    """Cut what quotes a value without end; the beginning says where, the end what was expected."""
    if len(problem) <= LONGEST:
        return problem
    return f"{problem[: LONGEST - 100]} ... {problem[-100:]}"
