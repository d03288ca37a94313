"""Motion without constraints: poses, velocities, inertia and forces, each with its adjoint."""
