"""The two classes of a trial, in the words of the field's protocols."""

LABELS = ("bonafide", "spoof")
