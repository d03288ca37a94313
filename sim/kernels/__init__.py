"""What all numerical code stands on: compilation and binding, records, rotations, spatial vectors, threads."""
