"""BERT's encoder as an ONNX graph, written straight from its config: no torch, no exporter, nothing to cache on disk.

A graph is 7 kB of protobuf that names its weights; they are handed to onnxruntime beside it (`memsdk.embedding.onnx`).
The messages are written here by hand, since importing the `onnx` package would cost each cold start about half a second.
Field numbers are those of onnx.proto3 (ONNX 1.16, IR version 9). Operators of the domain com.microsoft are onnxruntime's
own fused kernels (docs/ContribOperators.md in its repository): what its optimizer would make of an exported BERT.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

FLOAT, INT32 = 1, 6  # TensorProto.DataType
_IR_VERSION, _OPSET = 9, 17
_FUSED = "com.microsoft"
_FILE = "beside the graph"  # ONNX wants an external tensor to name a file; onnxruntime is given the arrays instead

IDS, LENGTHS, STATES = "ids", "lengths", "states"


@dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """What a config.json must say for the graph to be written."""

    layers: int
    heads: int
    hidden: int
    epsilon: float


def bert_shape(config: Mapping[str, JsonValue]) -> BertShape | None:
    """The shape of a BERT encoder; None for every other architecture or variant, which torch computes."""
    layers, heads, hidden = (
        config.get(name) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    epsilon = config.get("layer_norm_eps", 1e-12)
    plain = (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
    )
    if not plain or not isinstance(epsilon, float):
        return None
    if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(hidden, int)):
        return None
    if min(layers, heads, hidden) < 1 or hidden % heads:
        return None
    return BertShape(layers=layers, heads=heads, hidden=hidden, epsilon=epsilon)


def bert_graph(shape: BertShape, weights: Mapping[str, Sequence[int]]) -> bytes:
    """A ModelProto: `ids` int32 [B, T], padded on the right, and `lengths` int32 [B] to `states` float32 [B, T, hidden].

    Args:
        weights: the name and shape of each tensor, as `memsdk.embedding.onnx` prepares them.
    """
    nodes = [
        _node(
            "EmbedLayerNormalization",
            [IDS, "", "words", "positions", "", "words.gain", "words.shift"],
            ["layer0", "unused"],
            epsilon=shape.epsilon,
        )
    ]
    for number in range(shape.layers):
        given, made = f"layer{number}", STATES if number == shape.layers - 1 else f"layer{number + 1}"
        nodes += _layer(number, shape=shape, given=given, made=made)
    graph = [
        *(_message(1, node) for node in nodes),
        _text(2, "bert"),
        *(_message(5, _tensor(name, dims)) for name, dims in weights.items()),
        _message(11, _value(IDS, INT32, ["batch", "tokens"])),
        _message(11, _value(LENGTHS, INT32, ["batch"])),
        _message(12, _value(STATES, FLOAT, ["batch", "tokens", shape.hidden])),
    ]
    return b"".join(
        [
            _int(1, _IR_VERSION),
            _text(2, "memsdk"),
            _message(7, b"".join(graph)),
            _message(8, _text(1, "") + _int(2, _OPSET)),
            _message(8, _text(1, _FUSED) + _int(2, 1)),
        ]
    )


def _layer(number: int, *, shape: BertShape, given: str, made: str) -> list[bytes]:
    """Attention, then the feed-forward part, each added to what went in and normalised (Devlin et al., 2019)."""
    at = f"{number}."
    return [
        _node("Attention", [given, at + "qkv", at + "qkv.bias", LENGTHS], [at + "heads"], num_heads=shape.heads),
        _node("FusedMatMul", [at + "heads", at + "joined"], [at + "attended"], transB=1),
        _node(
            "SkipLayerNormalization",
            [given, at + "attended", at + "mid.gain", at + "mid.shift", at + "joined.bias"],
            [at + "mid"],
            epsilon=shape.epsilon,
        ),
        _node("FusedMatMul", [at + "mid", at + "widen"], [at + "wide"], transB=1),
        _node("BiasGelu", [at + "wide", at + "widen.bias"], [at + "active"]),
        _node("FusedMatMul", [at + "active", at + "narrow"], [at + "narrowed"], transB=1),
        _node(
            "SkipLayerNormalization",
            [at + "mid", at + "narrowed", at + "end.gain", at + "end.shift", at + "narrow.bias"],
            [made],
            epsilon=shape.epsilon,
        ),
    ]  # fmt: skip


def _node(operator: str, given: Sequence[str], made: Sequence[str], **attributes: float) -> bytes:
    parts = [
        *(_text(1, name) for name in given),
        *(_text(2, name) for name in made),
        _text(4, operator),
        *(_message(5, _attribute(name, value)) for name, value in attributes.items()),
        _text(7, _FUSED),
    ]
    return b"".join(parts)


def _attribute(name: str, value: float) -> bytes:
    """AttributeProto: `type` 1 is a float in field 2, 2 an integer in field 3."""
    if isinstance(value, int):
        return _text(1, name) + _int(3, value) + _int(20, 2)
    return _text(1, name) + _tag(2, 5) + struct.pack("<f", value) + _int(20, 1)


def _tensor(name: str, dims: Sequence[int]) -> bytes:
    """TensorProto whose data is elsewhere (`data_location` 1)."""
    place = {"location": _FILE, "offset": "0", "length": str(4 * _product(dims))}
    return b"".join(
        [
            *(_int(1, dim) for dim in dims),
            _int(2, FLOAT),
            _text(8, name),
            *(_message(13, _text(1, key) + _text(2, value)) for key, value in place.items()),
            _int(14, 1),
        ]
    )


def _value(name: str, kind: int, dims: Sequence[int | str]) -> bytes:
    """ValueInfoProto: a number is a fixed dimension, a name a free one."""
    shape = b"".join(_message(1, _int(1, dim) if isinstance(dim, int) else _text(2, dim)) for dim in dims)
    return _text(1, name) + _message(2, _message(1, _int(1, kind) + _message(2, shape)))


def _product(dims: Sequence[int]) -> int:
    total = 1
    for dim in dims:
        total *= dim
    return total


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _int(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, content: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
