"""`golden.npz` and `baseline.npz`: named little-endian arrays of float32 or int64, with the same bytes on every run.

They are read without pickle and without evaluating anything: the one header that we write is the one that is read.
numpy.load opens them too. Source: NEP 1, the .npy format, version 1.0.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import archive
from edge.errors import BadBundleError

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<f4|<i8)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,9},|\d{1,9}(?:, \d{1,9}){1,7})?)\), \} *\n",
    re.DOTALL,
)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode arrays as an uncompressed .npz; floats become float32, integers int64."""
    return archive.write({f"{name}.npy": _encode(array) for name, array in arrays.items()})


def unpack_arrays(data: bytes, names: tuple[str, ...], what: str) -> dict[str, NDArray[Any]]:
    """Decode an .npz that holds exactly `names`, of finite numbers; raises `BadBundleError`."""
    file = io.BytesIO(data)
    members = archive.index(file, most_members=len(names), most_bytes=len(data))
    if set(members) != {f"{name}.npy" for name in names}:
        raise BadBundleError(f"{what} does not hold exactly {', '.join(names)}", remedy=archive.REMEDY)
    return {name: _decode(archive.read(file, members[f"{name}.npy"]), f"{what}/{name}") for name in names}


def _encode(array: NDArray[Any]) -> bytes:
    dtype = "<i8" if np.issubdtype(array.dtype, np.integer) else "<f4"
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=dtype), allow_pickle=False)
    return buffer.getvalue()


def _decode(data: bytes, what: str) -> NDArray[Any]:
    header = _HEADER.match(data)
    if header is None or int.from_bytes(data[8:10], "little") + 10 != header.end():
        raise BadBundleError(f"{what} is not a plain array", remedy=archive.REMEDY)
    shape = tuple(int(n) for n in header[2].replace(b",", b" ").split())
    dtype = np.dtype(header[1].decode())
    count = 1
    for n in shape:  # python integers: no overflow, whatever the header claims
        count *= n
    if count * dtype.itemsize != len(data) - header.end():
        raise BadBundleError(f"{what} claims {count} numbers and holds fewer or more", remedy=archive.REMEDY)
    array: NDArray[Any] = np.frombuffer(data, dtype, offset=header.end()).reshape(shape)
    if not np.isfinite(array).all():
        raise BadBundleError(f"{what} holds NaN or infinity", remedy=archive.REMEDY)
    return array.astype(dtype.newbyteorder("="))
