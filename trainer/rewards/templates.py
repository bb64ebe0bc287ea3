"""What the language model is shown: a candidate, the query, and then the output that is scored (LLM-Embedder's templates).

A prompt ends before the space that leads the output, and the output begins with it: tokenised apart, both are cut
where the model's own tokens are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memsdk.models import Task


@dataclass(frozen=True, slots=True)
class Template:
    """The words around a candidate, a query and an output. The texts are joined, never formatted: braces are safe."""

    key: str  # before the candidate
    query: str  # before the query, and behind the candidate
    output: str  # behind the query
    lead: str  # the output's own first characters

    def prompt(self, query: str, key: str | None) -> str:
        """The prompt with a candidate, or with none."""
        shown = "" if key is None else f"{self.key}{key}"
        between = self.query if key is not None else self.query.lstrip("\n")
        return f"{shown}{between}{query}{self.output}"

    def answer(self, output: str) -> str:
        """The output as it follows the prompt."""
        return f"{self.lead}{output.strip()}"


_QUESTION = Template("Knowledge: ", "\n\nQuestion: ", "\n\nAnswer:", " ")

TEMPLATES: Mapping[Task, Template] = {
    Task.QA: _QUESTION,
    Task.CONVSEARCH: _QUESTION,
    Task.CHAT: Template("", "\nSpeaker 1: ", "\nSpeaker 2:", " "),
    Task.ICL: Template("", "\n", "\n", ""),
    Task.LRLM: Template("", "\n", "", " "),
    Task.TOOL: Template(
        "Tool: ", "\n\nRequest: ", "\n\nCall:", " "
    ),  # not in the paper: the right call, given the tool
}
"""By task. A candidate comes first, as in the paper; nothing is shared between the candidates' prompts."""
