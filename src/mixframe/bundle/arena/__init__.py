"""The Speech Anti-Spoofing Arena: submissions, their checks, its Core sets and its ranking."""
