"""Take rows of a tensor by index, with gradients that are the same to the bit whatever the threads."""

from torch import Tensor


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[index]`` (*index, *row) for `values` (n, *row) and integer `index` of any shape.

    Brackets add gradients of a row that is taken twice in whatever order threads come; `index_select` has one order.
    """
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])
