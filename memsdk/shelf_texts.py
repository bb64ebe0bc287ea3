"""What is indexed of a tool and of a solved example, as texts. Pure; `memsdk.composing` puts them together."""

from __future__ import annotations

from memsdk.fewshot import shot_of
from memsdk.models import Record
from memsdk.toolformats.tool import Fields, properties_of, words_of


def tool_line(record: Record) -> str:
    """A tool's name in words, its description, and its parameters' names in words: `get user name: ...`."""
    names = ", ".join(words for name, _ in _properties(record) if (words := words_of(name)))
    head = f"{words_of(record.name or '') or record.name}: {record.text}"
    return f"{head}\n{names}" if names else head


def tool_words(record: Record) -> str:
    """What a tool is found by word by: its line, its name and server as they are written, its example requests."""
    return "\n".join([record.name or "", record.title or "", tool_line(record), *tool_requests(record)])


def tool_parameters(record: Record) -> str:
    """What is said of a tool's parameters."""
    return "\n".join(description for _, description in _properties(record) if description)


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


def tool_requests(record: Record) -> list[str]:
    """What users ask when they need the tool, as `tools.add(requests=...)` was told."""
    requests = record.data.get("requests")
    return [text for text in requests if isinstance(text, str)] if isinstance(requests, list) else []


def example_line(record: Record) -> str:
    """An example's instruction and input."""
    shot = shot_of(record)
    return f"{shot.instruction}\n{shot.input}" if shot.instruction else shot.input


def _properties(record: Record) -> list[tuple[str, str]]:
    schema = record.data.get("schema")
    parameters = schema.get("parameters") if isinstance(schema, dict) else None
    fields: Fields = parameters if isinstance(parameters, dict) else {}
    return properties_of(fields)
