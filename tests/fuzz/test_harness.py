"""The harness notices what it is there for."""

import time

import pytest

from mixframe.base.errors import MixframeError
from tests.fuzz import harness
from tests.fuzz.mutation import damaged, disturbed


def fail(error):
    raise error


def test_what_a_door_may_not_do_is_a_failure(tmp_path, monkeypatch):
    assert harness.passes(lambda: None, tmp_path)
    assert not harness.passes(lambda: fail(MixframeError("no")), tmp_path)
    with pytest.raises(RecursionError):
        harness.passes(lambda: fail(RecursionError()), tmp_path)
    with pytest.raises(AssertionError, match="without a message"):
        harness.passes(lambda: fail(MixframeError("")), tmp_path)
    place = tmp_path / "x"
    with pytest.raises(AssertionError, match=r"changed: \['x'\]"):
        harness.passes(lambda: place.write_text("1"), tmp_path)
    assert harness.passes(lambda: place.write_text("2"), tmp_path, frozenset({"x"}))
    with pytest.raises(AssertionError, match="refused, but wrote"):
        harness.passes(
            lambda: fail(MixframeError(str(place.write_text("3")))), tmp_path, frozenset({"x"})
        )
    keeping = {"written": frozenset({"y"}), "kept": frozenset({"x"})}
    refused = lambda: fail(MixframeError(str(place.write_text("4"))))  # noqa: E731
    assert not harness.passes(refused, tmp_path, **keeping)
    with pytest.raises(AssertionError, match="4"):
        harness.passes(lambda: fail(MixframeError("x: 4")), tmp_path, named="y")
    with pytest.raises(AssertionError):
        harness.passes(lambda: fail(MixframeError("x" * harness.LONGEST)), tmp_path)
    monkeypatch.setattr(harness, "MEMORY", -1)
    with pytest.raises(AssertionError, match="MiB more"):
        harness.passes(lambda: None, tmp_path)
    monkeypatch.setattr(harness, "SECONDS", 0)
    with pytest.raises(AssertionError, match=r" s$"):
        harness.passes(lambda: sum(range(1000)), tmp_path)


def test_inputs_differ_from_the_good_ones_and_from_each_other():
    good, values = b"a b\nc d\n", {"a": {"b": [1, 2]}, "c": 1}
    seen, disturbances = set(), set()

    @harness.tried(50, damaged([good]), disturbed(values))
    def draw(data, changed):
        seen.add(data)
        disturbances.add(repr(changed))

    assert len(seen) > 25
    assert len(disturbances) > 10
    assert values == {"a": {"b": [1, 2]}, "c": 1}


def test_a_door_is_open_as_long_as_is_asked_for(monkeypatch):
    monkeypatch.setattr(harness, "OPEN", 0.5)
    monkeypatch.setattr(harness, "AT_ONCE", 5)
    seen = []

    @harness.tried(1, damaged([b"a b\nc d\n"]))
    def draw(data):
        seen.append(data)
        time.sleep(0.02)

    assert len(seen) > 5
    assert len(set(seen)) > 5
