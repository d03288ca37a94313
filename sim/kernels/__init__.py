"""What all numerical code stands on: compilation, records that kernels take, enums, rotations, spatial vectors, threads."""
