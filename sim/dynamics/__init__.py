"""Motion without constraints: poses, velocities, inertia, forces, each with its adjoint. Imports point down to `model`."""
