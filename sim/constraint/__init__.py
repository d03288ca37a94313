"""Constraint rows (equalities, friction loss, limits, contacts) and the adjoint of their force."""
