"""What is indexed of a tool and of a solved example, as texts. Pure; `memsdk.composing` puts them together."""

from __future__ import annotations

from typing import NamedTuple

from memsdk.fewshot import shot_of
from memsdk.models import Record
from memsdk.toolformats.tool import Fields, properties_of, words_of


class ToolTexts(NamedTuple):
    """What a tool is found by.

    Attributes:
        line: its name in words, its description, and its parameters' names in words: `get user name: ...`.
        words: its line, its name and server as they are written, its example requests.
        parameters: what is said of its parameters.
        requests: what users ask when they need it, as `tools.add(requests=...)` was told.
    """

    line: str
    words: str
    parameters: str
    requests: tuple[str, ...]


def tool_texts(record: Record) -> ToolTexts:
    """What a tool is found by."""
    properties = _properties(record)
    names = ", ".join(words for name, _ in properties if (words := words_of(name)))
    head = f"{words_of(record.name or '') or record.name}: {record.text}"
    line = f"{head}\n{names}" if names else head
    asked = record.data.get("requests")
    requests = tuple(text for text in asked if isinstance(text, str)) if isinstance(asked, list) else ()
    return ToolTexts(
        line=line,
        words="\n".join([record.name or "", record.title or "", line, *requests]),
        parameters="\n".join(description for _, description in properties if description),
        requests=requests,
    )


def tool_signature(record: Record) -> str:
    """A tool as a prompt lists it: `send_mail(to, subject?) [gmail]: Send an e-mail`."""
    schema = record.data.get("schema")
    parameters = schema.get("parameters") if isinstance(schema, dict) else None
    required = parameters.get("required") if isinstance(parameters, dict) else None
    needed = required if isinstance(required, list) else []
    names = [name for name, _ in _properties(record) if "." not in name]
    listed = ", ".join(name if name in needed else f"{name}?" for name in names)
    server = f" [{record.title}]" if record.title else ""
    return f"{record.name}({listed}){server}: {record.text}"


def example_line(record: Record) -> str:
    """An example's instruction and input."""
    shot = shot_of(record)
    return f"{shot.instruction}\n{shot.input}" if shot.instruction else shot.input


def _properties(record: Record) -> list[tuple[str, str]]:
    schema = record.data.get("schema")
    parameters = schema.get("parameters") if isinstance(schema, dict) else None
    fields: Fields = parameters if isinstance(parameters, dict) else {}
    return properties_of(fields)
