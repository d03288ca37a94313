"""The simulator as nodes of torch's graph, for `torch_bridge`."""
