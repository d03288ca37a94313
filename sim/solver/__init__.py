"""The constraint solvers, Newton's method and projected Gauss-Seidel, and their adjoints."""
