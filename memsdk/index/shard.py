"""One Edge shard: its settings, its queries, its updates. It knows nothing of folders, locks and switches."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeAlias, cast
from uuid import UUID

import qdrant_edge as edge

from memsdk.errors import IndexingError
from memsdk.index.conditions import MARKS, marked, paths, to_edge

PART = 5  # the version of the UUIDs of points that are a part of their record
RECORD = "r"  # the payload field of the record, as memsdk.payloads.RECORD; spelled out to keep the host light
EF = 256
"""How many points a walk keeps. Of the exact ten in a tenant of 50,000 points and 10,000 shared ones, 128 found .987, 256
.998 and 384 all; only scopes too large to be scanned pay for it."""
_DENSE_PARAMS = edge.SearchParams(hnsw_ef=EF, acorn=edge.AcornSearchParams(enable=True, max_selectivity=0.4))
"""ACORN: under conditions that cut the graph into islands (times, agents) a plain walk may find nothing."""
PAGE = 1_000
MAPPED = edge.Memory.Cached
HALF = edge.VectorStorageDatatype.Float16
_AS_THEY_ARE = frozenset({str, int, float})  # most of a payload's values
_BOOLEANS = {mark: value for value, mark in MARKS.items()}

Spec: TypeAlias = Mapping[str, object]
Plain: TypeAlias = Sequence[object]
Payload: TypeAlias = Mapping[str, object]


def config_of(spec: Spec) -> edge.EdgeConfig:
    """The engine's settings for a new collection; one that is there keeps those that it was made with.

    Links within the whole collection (`m`) and within each tenant (`payload_m`): with the latter alone, a search
    over two large tenants finds one of them only (recall .30 of 1.0, measured with 30,000 and 12,000 points). What can
    be mapped from files is (`Cached`): by default payload and lexical indexes took .9 KB of private memory a point, a
    gigabyte for a million of them, and were no faster (both legs in a scope of 100: .440 against .445 ms).

    Vectors in half precision: a scope that was not asked for of late is read from memory, and the dense leg of 100 points
    then took 573 microseconds with float32 and 350 with float16 (147 once they are in the CPU's caches, both). A search runs
    in one thread: to hand the segments of a small scope to two took as long again as to search them (255 against 130
    microseconds for both legs).
    """
    dense = cast("Mapping[str, int]", spec["dense"])
    sparse = cast("Sequence[str]", spec["sparse"])
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine, datatype=HALF)
            for name, size in dense.items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=MAPPED) for name in sparse
        },
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000, payload_m=16),
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=2, indexing_threshold=500),
        max_search_threads=1,
        wal_enabled=True,
    )


def index_updates(spec: Spec) -> Iterator[edge.UpdateOperation]:
    """Create the payload indexes; doing it twice is the same as doing it once."""
    create = edge.UpdateOperation.create_field_index
    for field in cast("Sequence[str]", spec["keywords"]):
        if field == spec["tenant"]:
            yield create(paths(field)[0], edge.KeywordIndexParams(is_tenant=True, memory=MAPPED))
        else:
            yield create(paths(field)[0], edge.KeywordIndexParams(enable_hnsw=False, memory=MAPPED))
    for field in cast("Sequence[str]", spec["numbers"]):
        yield create(paths(field)[0], edge.FloatIndexParams(enable_hnsw=False, memory=MAPPED))
    yield create(RECORD, edge.KeywordIndexParams(enable_hnsw=False, memory=MAPPED))


def upsert_update(rows: Sequence[Plain], *, spec: Spec) -> edge.UpdateOperation:
    """Add or replace points. Raises IndexingError for a point that the collection has no place for."""
    return edge.UpdateOperation.upsert_points([_point(row, spec) for row in rows])


def delete_update(records: Sequence[bytes]) -> edge.UpdateOperation:
    """Remove every point of the records: those that have a record's own id, and those that name it."""
    ids: set[int | UUID | str] = {UUID(bytes=record) for record in records}
    named = edge.FieldCondition(RECORD, match=edge.MatchAny([str(id_) for id_ in ids]))
    return edge.UpdateOperation.delete_points_by_filter(edge.Filter(should=[edge.HasIdCondition(ids), named]))


def search(shard: edge.EdgeShard, requests: Sequence[Plain]) -> list[list[object]]:
    """Answer requests of [legs, filter, limit, payload fields, of parts only], each with [ids, payload columns, legs].

    A leg is [places, scores]: which of the ids it found, best first, as uint32 and float32 bytes. The legs of a small
    scope find the same points, and reading their payloads is most of a query's cost: the first leg brings its own,
    and where only parts are asked for (points whose id is a UUIDv5), no other payload is read.
    """
    queries: list[edge.QueryRequest] = []
    asked = cast("Sequence[tuple[list[Plain], Plain | None, int, list[str], bool]]", requests)
    for legs, condition, limit, fields, parts_only in asked:
        compiled = None if condition is None else to_edge(condition)
        selected = False if parts_only else _selected(fields)
        queries += [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(_vector(leg), using=cast("str", leg[0])),
                filter=compiled,
                params=None if len(leg) > 2 else _DENSE_PARAMS,
                with_payload=False if number else selected,
            )
            for number, leg in enumerate(legs)
        ]
    answers = iter(shard.query_batch(edge.QueryBatchRequest(queries)) if queries else ())
    return [
        _answer(shard, [next(answers) for _ in legs], fields, parts_only=parts_only)
        for legs, _, _, fields, parts_only in asked
    ]


def scroll(shard: edge.EdgeShard, fields: Sequence[str], after: bytes | None) -> list[object]:
    """A page of points as [ids, payload columns, where the next page starts or None]."""
    points, following = shard.scroll(
        edge.ScrollRequest(
            offset=None if after is None else UUID(bytes=after), limit=PAGE, with_payload=_selected(fields)
        )
    )
    ids = b"".join(cast("UUID", point.id).bytes for point in points)
    columns = _values([point.payload for point in points], fields)
    return [ids, columns, None if following is None else cast("UUID", following).bytes]


def vectors(shard: edge.EdgeShard, points: bytes, name: str) -> list[bytes]:
    """The ids of the points that have this dense vector, 16 bytes each, and the vectors as float32."""
    wanted: list[int | UUID | str] = [UUID(bytes=points[at : at + 16]) for at in range(0, len(points), 16)]
    ids, raw = [], []
    for record in shard.retrieve(wanted, False, True) if wanted else ():
        vector = cast("Mapping[str, Sequence[float]]", record.vector or {}).get(name)
        if vector is not None and not isinstance(vector, edge.SparseVector):
            ids.append(cast("UUID", record.id).bytes)
            raw.append(array("f", vector).tobytes())
    return [b"".join(ids), b"".join(raw)]


def unindexed(shard: edge.EdgeShard, spec: Spec) -> int:
    """About how many points are in no graph yet; the engine's count holds lexical vectors too."""
    info = shard.info()
    dense, sparse = len(cast("Mapping[str, int]", spec["dense"])), len(cast("Sequence[str]", spec["sparse"]))
    return (info.points_count * (dense + sparse) - info.indexed_vectors_count) // dense if dense else 0


def _selected(fields: Sequence[str]) -> edge.PayloadSelector | bool:
    return edge.PayloadSelector.Include([paths(field)[0] for field in fields]) if fields else False


def _vector(leg: Plain) -> list[float] | edge.SparseVector:
    values = leg[1:]
    return _sparse(values) if len(values) == 2 else cast("list[float]", _dense(values[0]))


def _point(row: Plain, spec: Spec) -> edge.Point:
    id_, _, dense, sparse, payload = cast(
        "tuple[bytes, bytes, Mapping[str, bytes], Mapping[str, Plain], dict[str, object]]", row
    )
    payload = {
        name: value if value.__class__ in _AS_THEY_ARE else marked(value) for name, value in payload.items()
    }
    for field in cast("Sequence[str]", spec["keywords"]):
        _check_keyword(field, payload.get(field))
    _check_vectors(dense, sparse, spec)
    vectors: dict[str, object] = {name: _dense(raw) for name, raw in dense.items()}
    vectors |= {name: _sparse(pair) for name, pair in sparse.items()}
    return edge.Point(UUID(bytes=id_), cast("list[float]", vectors), payload)  # a mapping by name


def _check_vectors(dense: Mapping[str, bytes], sparse: Mapping[str, Plain], spec: Spec) -> None:
    """The engine would log the whole batch, and then stop at the bad point."""
    sizes, names = cast("Mapping[str, int]", spec["dense"]), cast("Sequence[str]", spec["sparse"])
    for name, raw in dense.items():
        if len(raw) != 4 * sizes.get(name, 0):
            raise IndexingError(
                f"the vector {name!r} has {len(raw) // 4} numbers; the collection has {dict(sizes)}"
            )
    for name in sparse:
        if name not in names:
            raise IndexingError(f"no lexical vector {name!r}; the collection has {list(names)}")


def _check_keyword(field: str, value: object) -> None:
    if isinstance(value, str):
        return
    values = value if isinstance(value, list) else (value,)
    if not all(item is None or isinstance(item, str) for item in values):
        raise IndexingError(
            f"the keyword field {field!r} holds texts, not {value!r:.80}; the engine would not find it"
        )


def _dense(raw: object) -> array[float]:
    values = array("f")
    values.frombytes(cast("bytes", raw))
    return values


def _sparse(pair: Plain) -> edge.SparseVector:
    indices, values = array("I"), array("f")
    indices.frombytes(cast("bytes", pair[0]))
    values.frombytes(cast("bytes", pair[1]))
    return edge.SparseVector(indices.tolist(), values.tolist())


def _answer(
    shard: edge.EdgeShard,
    ranked: Sequence[Sequence[edge.ScoredPoint]],
    fields: Sequence[str],
    *,
    parts_only: bool,
) -> list[object]:
    """[ids, payload columns, legs]; points that were deleted since they were found are left out.

    Points are told apart by the numbers of their ids, each read once: the engine makes a new UUID whenever it is asked.
    """
    keys = [[cast("UUID", hit.id).int for hit in hits] for hits in ranked]
    found = dict.fromkeys(chain.from_iterable(keys))
    payloads: dict[int, Payload | None]
    if parts_only:
        payloads = {key: None for key in found if key >> 76 & 15 != PART}  # these bits are a UUID's version
    else:
        payloads = {key: hit.payload for key, hit in zip(*keys[:1], *ranked[:1], strict=True)}
    missing: list[int | UUID | str] = [UUID(int=key) for key in found if key not in payloads]
    for record in shard.retrieve(missing, _selected(fields), False) if missing else ():
        payloads[cast("UUID", record.id).int] = record.payload
    places = {key: place for place, key in enumerate(payloads)}
    ids = b"".join([key.to_bytes(16, "big") for key in payloads])
    columns = _values(payloads.values(), fields) if missing or not parts_only else []
    return [ids, columns, [_ranking(hits, own, places) for hits, own in zip(ranked, keys, strict=True)]]


def _ranking(hits: Sequence[edge.ScoredPoint], keys: Sequence[int], places: Mapping[int, int]) -> list[bytes]:
    kept = [(places[key], hit.score) for key, hit in zip(keys, hits, strict=True) if key in places]
    return [
        array("I", [place for place, _ in kept]).tobytes(),
        array("f", [score for _, score in kept]).tobytes(),
    ]


def _values(payloads: Iterable[Mapping[str, object] | None], fields: Sequence[str]) -> list[list[object]]:
    known = [payload or {} for payload in payloads]
    return [[_unmarked(payload.get(field)) for payload in known] for field in fields]


def _unmarked(value: object) -> object:
    match value:
        case str():
            return _BOOLEANS.get(value, value)
        case list():
            return [_unmarked(item) for item in value]
        case dict():
            return {name: _unmarked(item) for name, item in value.items()}
        case _:
            return value
