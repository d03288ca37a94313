"""What every training has: its run folder, configuration, checkpoints, clock and evaluations."""
