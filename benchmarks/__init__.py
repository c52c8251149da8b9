"""Timings and simulations; each module runs as `python -m benchmarks.NAME`."""

import os

from mixframe.base import isa, memory

isa.pin(os.environ)
memory.keep()
