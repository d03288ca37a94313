"""What `info` of two vector environments holds, compared."""

import numpy as np


def assert_equal_info(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for key, value in expected.items():
        if isinstance(value, dict):
            assert_equal_info(found[key], value)
        elif value.dtype == object:
            for a, b in zip(found[key], value, strict=True):
                assert (a is None) == (b is None)
                np.testing.assert_allclose(a, b, atol=1e-6) if b is not None else None
        else:
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-12)
