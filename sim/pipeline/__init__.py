"""The physics of a step in order (`step.py`), bound together for a model and run over worlds."""
