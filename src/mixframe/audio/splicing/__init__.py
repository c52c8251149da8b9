"""Splicing: mix-frame splices, planned as a table and rendered from it."""
