"""Hostile input at every door that mixframe reads text through: docs/reliability.md."""
