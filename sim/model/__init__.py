"""A mechanism's constants, read from MuJoCo's compiled model, and the workspaces that its kernels fill."""
