"""Damaged copies of good files, and hostile values in the place of good ones."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = [
    *(b"", b"\0", b"\xff", b"\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[31m", b"\x85"),
    *("\u2028".encode(), "é".encode(), "\u202e".encode(), "\u0661\u0662".encode()),
    *(b" ", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b",", b"/", b"-", b"--", b"_", b"."),
    *(b"nan", b"inf", b"-inf", b"1e308", b"-1e308", b"1.797e308", b"1e999", b"5e-324", b"-0.0"),
    *(b"0", b"-1", b"1_0", b"0x10", b"1.5", b"9" * 25, b"9" * 5000, b"1e23", b"+1"),
    *(b"bonafide", b"spoof", b"T", b"F", b"eval", b"utterance", b"filename", b"SPEAKER", b"<NA>"),
    *(b"&a ", b"*a", b"<<: ", b"- ", b"? ", b": ", b"{", b"}", b"[", b"]", b"!!set ", b"!!int x"),
    *(b"'", b'"', b"#", b"|", b">", b"%", b"---\n", b"null", b"true", b"2026-02-30", b"A" * 3000),
]
"""What is put into files."""


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Draw a copy of one of some files with up to four damages."""
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(DAMAGES))(draw, data)
    return data


def _span(draw: st.DrawFn, data: bytes, most: int = 200) -> tuple[int, int]:
    start = draw(st.integers(0, len(data)))
    return start, min(len(data), start + draw(st.integers(0, most)))


def _flip(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, max(0, len(data) - 1)))
    return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]


def _remove(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = _span(draw, data)
    return data[:start] + data[end:]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = _span(draw, data)
    return data[:end] + data[start:end] * draw(st.integers(1, 20)) + data[end:]


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def _replace_word(draw: st.DrawFn, data: bytes) -> bytes:
    lines = data.split(b"\n")
    line = draw(st.integers(0, len(lines) - 1))
    separator = b"\t" if b"\t" in lines[line] else b" "
    words = lines[line].split(separator)
    words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(TOKENS))
    lines[line] = separator.join(words)
    return b"\n".join(lines)


def _swap_lines(draw: st.DrawFn, data: bytes) -> bytes:
    lines = data.split(b"\n")
    one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _encode(draw: st.DrawFn, data: bytes) -> bytes:
    form = draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"]))
    return data.decode("utf-8", "replace").encode(form, "replace")


DAMAGES: list[Callable[[st.DrawFn, bytes], bytes]] = [
    *(_flip, _insert, _remove, _repeat, _cut, _replace_word, _swap_lines, _encode),
    *(_insert, _replace_word, _replace_word),
]

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2**31, 2**32, 2**64, 10**23, -(10**23)]),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e308, 5e-324, float("nan"), float("inf")]),
    st.sampled_from(["", "none", "auto", "../../x", "nowhere", "A" * 3000, "\x1b", "\0", "é"]),
    st.dates(),
    st.sampled_from([[], {}, [[]], {"": None}, [0] * 3000, {1: 2}, {None: []}]),
    st.text(max_size=8),
    st.integers(),
    st.floats(),
)
"""What takes the place of a value."""


@st.composite
def disturbed(draw: st.DrawFn, values: dict[str, Any]) -> dict[str, Any]:
    """Draw a deep copy of plain data in which up to three entries are lost, added or replaced."""
    copy: dict[str, Any] = _copy(values)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = copy
        while True:
            if isinstance(place, dict) and place:
                key: Any = draw(st.sampled_from(list(place)))
            elif isinstance(place, list) and place:
                key = draw(st.integers(0, len(place) - 1))
            else:
                break
            below = place[key]
            if isinstance(below, dict | list) and below and draw(st.integers(0, 9)):
                place = below
                continue
            what = draw(st.sampled_from(["lose", "add", "replace", "replace", "replace"]))
            if what == "lose":
                del place[key]
            elif what == "replace":
                place[key] = _copy(draw(HOSTILE))
            elif isinstance(place, dict):
                place[draw(st.one_of(st.text(max_size=5), st.integers()))] = _copy(draw(HOSTILE))
            else:
                place.append(_copy(draw(HOSTILE)))
            break
    return copy


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
