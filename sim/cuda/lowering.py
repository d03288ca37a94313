"""How kernels are lowered for CUDA, where numba-cuda's own ways cost a quarter of the speed.

* Entries are addressed by steps from a pointer (`getelementptr`), not by integers that are turned into
  pointers: so NVVM sees that a field is in global memory, whose loads are quicker than generic ones.
* Indices are not taken for negative ones, counted from the end: kernels have none
  (`tests/test_sim_kernel_indices.py`), and each would cost a comparison.
* Offsets within one field are 32-bit integers, of which a GPU has more: no field of a tile has 2 GiB.

numba-cuda has no options for these, so its functions are replaced while kernels of the simulator are
compiled, and put back after it: other people's kernels are compiled as always.
"""

from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from llvmlite import ir
from numba.cuda import cgutils, dispatcher  # pyright: ignore[reportAttributeAccessIssue] (of numba-cuda)
from numba.cuda.cpython import slicing  # pyright: ignore[reportMissingImports]

_BYTE, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


@contextmanager
def lowering(capability: tuple[int, int]) -> Generator[None]:
    """While this lasts, numba-cuda compiles as described above, for devices of a compute capability."""
    device = SimpleNamespace(compute_capability=capability)
    with (
        # numba-cuda asks the GPU for its capability, also where code is made for another, or where there is none
        patch.object(dispatcher, "get_current_device", lambda: device),
        patch.object(cgutils, "pointer_add", _pointer_add),
        patch.object(cgutils, "get_item_pointer2", _item_pointer),
        patch.object(slicing, "fix_index", _index_as_it_is),
    ):
        yield


def _pointer_add(builder: Any, ptr: Any, offset: Any, return_type: Any = None) -> Any:
    """`ptr` and a number of bytes."""
    offset = _INT64(offset) if isinstance(offset, int) else offset
    start = builder.bitcast(ptr, ir.PointerType(_BYTE, ptr.type.addrspace))
    return builder.bitcast(builder.gep(start, [offset]), return_type or ptr.type)


def _item_pointer(
    context: Any, builder: Any, data: Any, shape: Any, strides: Any, layout: str, inds: Any,
    wraparound: bool = False, boundscheck: bool = False,
) -> Any:  # fmt: skip
    """The address of an entry: fields of tiles have layout "A", what has one axis of all worlds has "C"."""
    del context, shape, wraparound, boundscheck
    integer = _INT32 if layout == "A" else _INT64
    offset = integer(0)
    for stride, index in zip(strides, inds, strict=False):
        term = builder.mul(_of_type(builder, index, integer), _of_type(builder, stride, integer), flags=["nsw"])
        offset = builder.add(offset, term, flags=["nsw"])
    return _pointer_add(builder, data, _of_type(builder, offset, _INT64))


def _of_type(builder: Any, value: Any, integer: Any) -> Any:
    if value.type.width < integer.width:
        return builder.sext(value, integer)
    return value if value.type == integer else builder.trunc(value, integer)


def _index_as_it_is(builder: Any, idx: Any, size: Any) -> Any:
    del builder, size
    return idx
