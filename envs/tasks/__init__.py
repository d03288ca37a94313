"""The tasks, one in each file, and what several of them share: `locomotion` and `ball_to_target`."""
