"""Source code: cut where a definition begins in the first column, with comments and decorators above it."""

from __future__ import annotations

import re

from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed, Section

_PYTHON = r"(?:async\s+)?(?:def|class)\s+(\w+)"
_SCRIPT = (
    r"(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?"
    r"(?:function\s*\*?|class|interface|type|enum|namespace|const|let|var)\s+([\w$]+)"
)
_GO = r"(?:func\s+(?:\([^)\n]*\)\s*)?|type\s+)(\w+)"
_RUST = (
    r"(?:pub(?:\([^)\n]*\))?\s+)?(?:async\s+)?(?:unsafe\s+)?(?:const\s+)?(?:extern\s+\"[^\"\n]*\"\s+)?"
    r"(?:fn|struct|enum|union|trait|mod|type|macro_rules!|impl(?:<[^{\n]*?>)?)\s+(\w+)"
)
_JVM = (
    r"(?:(?:public|private|protected|internal|abstract|final|static|sealed|open|data|case|partial)\s+)*"
    r"(?:class|interface|enum|record|struct|trait|object|fun|def|namespace)\s+(\w+)"
)
_C = (
    r"(?:(?:class|struct|union|enum|namespace)\s+(?=\w+\s*(?:[:{]|$))"
    r"|[A-Za-z_][\w:<>,*& \t]*?[\s*&](?=~?[\w:~]+\s*\())([\w:~]+)"
)
_RUBY = r"(?:def|class|module)\s+([\w:.?!]+)"
_PHP = r"(?:(?:abstract|final|readonly)\s+)*(?:function|class|interface|trait|enum)\s+(\w+)"
_SHELL = r"(?:function\s+([\w-]+)|([\w-]+)\s*\(\)\s*\{?)"
_LUA = r"(?:local\s+)?function\s+([\w.:]+)"
_SQL = (
    r"(?i:create\s+(?:or\s+replace\s+)?(?:\w+\s+)??"
    r"(?:table|view|function|procedure|trigger|index)\s+(?:if\s+not\s+exists\s+)?([\w.\"`]+))"
)

# media type -> suffixes, how a top-level definition begins
_LANGUAGES = {
    "text/x-python": (".py .pyi", _PYTHON),
    "text/javascript": (".js .mjs .cjs .jsx", _SCRIPT),
    "text/x-typescript": (".ts .tsx .mts", _SCRIPT),
    "text/x-go": (".go", _GO),
    "text/x-rust": (".rs", _RUST),
    "text/x-java": (".java", _JVM),
    "text/x-kotlin": (".kt .kts", _JVM),
    "text/x-scala": (".scala", _JVM),
    "text/x-csharp": (".cs", _JVM),
    "text/x-swift": (
        ".swift",
        r"(?:(?:public|private|open|final)\s+)*(?:func|class|struct|enum|protocol|extension)\s+(\w+)",
    ),
    "text/x-c": (".c .h", _C),
    "text/x-c++": (".cpp .cc .cxx .hpp .hh", _C),
    "text/x-ruby": (".rb", _RUBY),
    "text/x-php": (".php", _PHP),
    "text/x-lua": (".lua", _LUA),
    "text/x-shellscript": (".sh .bash", _SHELL),
    "text/x-sql": (".sql", _SQL),
}
_BEGINNINGS = {media_type: re.compile(pattern) for media_type, (_, pattern) in _LANGUAGES.items()}
_LEAD = re.compile(
    r"@|#|//|/\*|\*|\s\*|--|template\s*<|\["
)  # comments, decorators, attributes, template headers

_LONGEST = 500  # characters of a line that are looked at; minified code has lines of megabytes


def parse(source: Source) -> list[Parsed]:
    """A section for what comes before the first definition and for each definition, under its name."""
    lines = source.text().split("\n")
    cuts = _definitions(lines, _BEGINNINGS[source.media_type])
    starts = [(0, ""), *cuts]
    sections = []
    for (start, name), (end, _) in zip(starts, [*cuts, (len(lines), "")], strict=True):
        if text := "\n".join(lines[start:end]).strip("\n").rstrip():
            sections.append(Section(headings=(name,) if name else (), text=text))
    return [source.document(*sections)]


def _definitions(lines: list[str], begins: re.Pattern[str]) -> list[tuple[int, str]]:
    """Where each definition starts, what leads it included, and its name."""
    cuts: list[tuple[int, str]] = []
    lead = 0  # the first line of the comments and decorators right above
    for number, line in enumerate(lines):
        if match := begins.match(line[:_LONGEST]):
            cuts.append((lead, next(name for name in match.groups() if name)))
            lead = number + 1
        elif not _LEAD.match(line):
            lead = number + 1
    return cuts


FORMATS = tuple(
    Format(media_types=(media_type,), suffixes=tuple(suffixes.split()), parse=parse)
    for media_type, (suffixes, _) in _LANGUAGES.items()
)
