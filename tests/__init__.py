"""Tests compute on the instruction set on which results are made."""

import os

from mixframe.base import isa

isa.pin(os.environ)
