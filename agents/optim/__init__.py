"""Optimisers that know no robot."""
