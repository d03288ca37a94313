"""Non-linear least squares by matrix-free Gauss-Newton steps: knows vectors and linear programs, no robot."""
