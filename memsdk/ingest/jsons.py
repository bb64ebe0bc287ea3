"""JSON and JSON Lines: chat exports, tools and examples where the content is that, else data in readable `key: value` lines."""

from __future__ import annotations

import json

from pydantic import JsonValue

from memsdk.ingest.catalogues import catalogue
from memsdk.ingest.chats import conversations
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed, Section

_NAMES = ("title", "name", "id")
_TOO_DEEP = "is nested too deeply to be read; flatten it first"


def parse(source: Source) -> list[Parsed]:
    """The conversations of a chat export, or a section for each top-level item."""
    text = source.text()
    try:
        value: JsonValue = json.loads(text)
    except RecursionError as error:
        raise source.error(_TOO_DEEP) from error
    except json.JSONDecodeError as error:
        lines = error.msg == "Extra data" and "; if each line is a value of its own, name it .jsonl"
        hint = lines or "; mend it there, or save it as .txt to have it read as text"
        raise source.error(
            f"is no JSON: {error.msg}, column {error.colno}{hint}", line=error.lineno
        ) from error
    except ValueError as error:
        raise source.error(f"is no JSON that can be read: {error}") from error
    return _parsed(value, source)


def parse_lines(source: Source) -> list[Parsed]:
    """The same of a file that holds a value a line."""
    values: list[JsonValue] = []
    for number, line in enumerate(source.text().split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except RecursionError as error:
            raise source.error(_TOO_DEEP, line=number) from error
        except ValueError as error:
            raise source.error(
                f"is no JSON: {error}; each line must hold one whole value", line=number
            ) from error
    return _parsed(values, source)


def _parsed(value: JsonValue, source: Source) -> list[Parsed]:
    chats = conversations(value, source)
    if chats is not None:
        return chats
    listed = catalogue(value, source)
    return [listed or source.document(*_sections(value))]


def _sections(value: JsonValue) -> list[Section]:
    """Items that hold more than one value get a section each; plain ones share the first."""
    if isinstance(value, dict):
        nested: list[tuple[tuple[str, ...], JsonValue]] = [
            ((key,), item) for key, item in value.items() if isinstance(item, (dict, list)) and item
        ]
        plain = [
            f"{key}: {_word(item)}"
            for key, item in value.items()
            if not (isinstance(item, (dict, list)) and item)
        ]
    elif isinstance(value, list):
        nested = [(_heading(item), item) for item in value if isinstance(item, (dict, list)) and item]
        plain = [_word(item) for item in value if not isinstance(item, (dict, list))]
    else:
        nested, plain = [], readable(value)
    sections = [Section(headings=headings, text="\n".join(readable(item))) for headings, item in nested]
    return [Section(headings=(), text="\n".join(plain)), *sections] if plain else sections


def _heading(item: JsonValue) -> tuple[str, ...]:
    if isinstance(item, dict):
        for name in _NAMES:
            if isinstance(label := item.get(name), str) and 0 < len(label.strip()) <= 100:
                return (label.strip(),)
    return ()


def readable(value: JsonValue, *, name: str = "") -> list[str]:
    """A line for each plain value below, `a.b[2].c: value`; a list of plain values has one. No recursion."""
    lines = []
    stack: list[tuple[str, JsonValue]] = [(name, value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict) and item:
            stack.extend((f"{path}.{key}" if path else key, below) for key, below in reversed(item.items()))
        elif isinstance(item, list) and any(isinstance(below, (dict, list)) for below in item):
            stack.extend((f"{path}[{place}]", item[place]) for place in reversed(range(len(item))))
        else:
            text = ", ".join(map(_word, item)) if isinstance(item, list) and item else _word(item)
            lines.append(f"{path}: {text}" if path else text)
    return lines


def _word(value: JsonValue) -> str:
    return (
        value
        if isinstance(value, str)
        else "none"
        if value in ({}, [])
        else json.dumps(value, ensure_ascii=False)
    )


JSON = Format(media_types=("application/json",), suffixes=(".json",), parse=parse)
JSON_LINES = Format(
    media_types=("application/jsonl", "application/x-ndjson"),
    suffixes=(".jsonl", ".ndjson"),
    parse=parse_lines,
)
