"""`python -m mixframe`, the same as `mixframe`."""

from mixframe.cli import main

main(prog_name="mixframe")
