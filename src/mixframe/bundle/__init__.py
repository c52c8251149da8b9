"""Bundle: a trained system in one folder that works alone: written, read, heard with, served."""
