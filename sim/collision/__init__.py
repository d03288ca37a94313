"""Contacts between geoms: one file a geometry family, each with its adjoint."""
