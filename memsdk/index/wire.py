"""The port's values as plain data (bytes, numbers, texts, lists) and back: what travels to the engine.

Vectors are little-endian float32 bytes, ids their 16 bytes; payloads come back column by column.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydantic import JsonValue

from memsdk.errors import IndexingError, InvalidInputError
from memsdk.index.conditions import to_plain
from memsdk.models import CollectionSpec, Point, SparseVector
from memsdk.payloads import with_record
from memsdk.ports import Leg, PointHit, SearchRequest, SearchResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

LONGEST = 10_000  # points a leg
UNIT = 1e-3  # how far from 1 a vector's length may be
_NO_PAYLOAD: Mapping[str, JsonValue] = MappingProxyType({})

Row: TypeAlias = list[object]
"""A point: id, record, {name: dense}, {name: [indices, values]}, payload."""
Columns: TypeAlias = list[list[JsonValue]]
"""The values of each payload field asked for, None where it is missing."""
Answer: TypeAlias = tuple[bytes, Columns, list[tuple[bytes, bytes]]]
"""What one request found: the points' ids, their payload, and each leg's places among them and scores."""


def spec_to_plain(spec: CollectionSpec) -> dict[str, object]:
    """The collection's description as JSON values."""
    return {
        "dense": dict(spec.dense),
        "sparse": list(spec.sparse),
        "keywords": list(spec.keywords),
        "numbers": list(spec.numbers),
        "tenant": spec.tenant,
    }


def point_to_row(point: Point) -> Row:
    """Raises IndexingError on a vector that no engine should be given."""
    dense = {name: dense_bytes(vector, name=name) for name, vector in point.dense.items()}
    sparse = {
        name: sparse_bytes(vector, name=name) for name, vector in point.sparse.items() if len(vector.indices)
    }
    return [point.id.bytes, point.record.bytes, dense, sparse, with_record(point)]


def dense_bytes(vector: Vector, *, name: str) -> bytes:
    """Float32 bytes of a finite unit vector."""
    array = np.ascontiguousarray(vector, dtype="<f4")
    if array.ndim != 1:
        raise IndexingError(f"the vector {name!r} has shape {array.shape}; one row of numbers was expected")
    length = float(np.sqrt(np.dot(array, array)))
    if not abs(length - 1.0) <= UNIT:  # also where it is not a number
        raise IndexingError(
            f"the vector {name!r} has length {length:.4g}; a unit vector of finite numbers was expected"
        )
    return array.tobytes()


def sparse_bytes(vector: SparseVector, *, name: str) -> list[bytes]:
    """Uint32 and float32 bytes of a lexical vector."""
    values = array("f", vector.values)
    # one that is not finite leaves no sum that is
    if len(values) != len(vector.indices) or not math.isfinite(sum(values)):
        raise IndexingError(f"the lexical vector {name!r} needs as many finite weights as indices")
    try:
        indices = array("I", vector.indices)
    except (OverflowError, TypeError) as error:
        raise IndexingError(f"the lexical vector {name!r} has an index that is no 32-bit number") from error
    if len(set(vector.indices)) != len(vector.indices):
        raise IndexingError(f"the lexical vector {name!r} names an index twice; sum its weights")
    if sys.byteorder == "big":
        indices.byteswap()
        values.byteswap()
    return [indices.tobytes(), values.tobytes()]


def request_to_plain(request: SearchRequest) -> list[object]:
    """A search as [legs, filter, limit, payload fields, of parts only]; empty lexical legs are left out."""
    if not 1 <= request.limit <= LONGEST:
        raise InvalidInputError(f"a search takes a limit of 1 to {LONGEST}, not {request.limit}")
    legs = [_leg(leg) for leg in request.legs if leg.sparse is None or len(leg.sparse.indices)]
    return [legs, to_plain(request.filter), request.limit, list(request.payload), request.parts_only]


def result_from_plain(request: SearchRequest, answer: Answer) -> SearchResult:
    """The hits by leg name; a leg that was left out has none."""
    ids, columns, legs = answer
    points = points_from_plain(ids, columns, request.payload)
    result: dict[str, list[PointHit]] = {leg.name: [] for leg in request.legs}
    asked = [leg.name for leg in request.legs if leg.sparse is None or len(leg.sparse.indices)]
    for name, (places, scores) in zip(asked, legs, strict=True):
        ranked = zip(memoryview(places).cast("I"), memoryview(scores).cast("f"), strict=True)
        found = []
        for place, score in ranked:
            key, payload = points[place]
            found.append(PointHit(key, score, payload))
        result[name] = found
    return result


def points_from_plain(
    ids: bytes, columns: Columns, fields: Sequence[str]
) -> list[tuple[str, Mapping[str, JsonValue]]]:
    """Ids as hex digits, with the payload fields that are there."""
    digits = ids.hex()
    points = [digits[at : at + 32] for at in range(0, len(digits), 32)]
    if not columns:
        return [(point, _NO_PAYLOAD) for point in points]
    payloads: list[Mapping[str, JsonValue]] = [
        dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)
    ]
    if any(None in column for column in columns):
        payloads = [
            {name: value for name, value in payload.items() if value is not None} for payload in payloads
        ]
    return list(zip(points, payloads, strict=True))


def _leg(leg: Leg) -> list[object]:
    if leg.dense is not None:
        return [leg.name, dense_bytes(leg.dense, name=leg.name)]
    if leg.sparse is not None:
        return [leg.name, *sparse_bytes(leg.sparse, name=leg.name)]
    raise InvalidInputError(f"the leg {leg.name!r} has neither a dense nor a lexical vector")
