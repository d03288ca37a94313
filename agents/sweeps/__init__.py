"""Many trainings as one command: seeds, and settings from a file; `gradgym-train --seeds`, `--sweep`."""
