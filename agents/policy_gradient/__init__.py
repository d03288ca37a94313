"""Policy gradients through the simulator: SHAC and BPTT."""
