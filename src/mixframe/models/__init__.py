"""Models: encoders, heads and the detector made of them.

Models save themselves to a folder and load themselves from one; which folder that is, and what it
depends on, is the business of the stages.
"""
