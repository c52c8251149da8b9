"""Counts the inputs that each door was tried with, and prints them."""

from collections.abc import Callable, Iterator

import pytest

from tests.fuzz import harness


@pytest.fixture(autouse=True)
def counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Put the number of inputs into the report of a test."""
    before = harness.inputs
    yield
    record_property("inputs", harness.inputs - before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of inputs by door; other processes send theirs with their reports."""
    counts = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                door = report.nodeid.partition("fuzz/")[2]
                counts[door] = dict(report.user_properties).get("inputs", 0)
    if not counts:
        return
    terminalreporter.section("inputs by door")
    for door, n in sorted(counts.items()):
        if n:
            terminalreporter.write_line(f"{n:>9,}  {door}")
    terminalreporter.write_line(f"{sum(counts.values()):>9,}  together")
