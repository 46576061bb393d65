"""Names for the array types that signatures use everywhere."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]
"""An array of any type."""
BoolArray = NDArray[np.bool_]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]
UInt64Array = NDArray[np.uint64]
"""64-bit words: packed bits, or hashes whose sums are taken modulo 2^64."""
Float64Array = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
"""Type of the entries of an array that a function keeps."""

__all__ = [
    "AnyArray",
    "BoolArray",
    "Float64Array",
    "Int8Array",
    "Int32Array",
    "Int64Array",
    "Scalar",
    "UInt8Array",
    "UInt64Array",
]
