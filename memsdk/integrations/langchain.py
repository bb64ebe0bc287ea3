"""`memory.examples` as LangChain's example selector: for `FewShotPromptTemplate(example_selector=...)`.

It has the shape of `langchain_core.example_selectors.BaseExampleSelector`. Where LangChain is installed it is registered as
one, as `FewShotPromptTemplate` asks for that class; it works without LangChain too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from memsdk.errors import InvalidInputError
from memsdk.examples import ExampleShelf
from memsdk.fewshot import shot_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryExampleSelector:
    """Selects the examples most like an input, the most similar last; adds what is solved.

    Attributes:
        examples: `memory.examples`, or a scoped view's.
        input_key: the variable that holds the input, in examples and in what is asked.
        output_key: the variable that holds the output.
        k: how many examples at most.
        task: only examples of this task; those that are added become ones.
        balance: see `ExampleShelf.recall`.
    """

    examples: ExampleShelf
    input_key: str = "input"
    output_key: str = "output"
    k: int = 4
    task: str | None = None
    balance: str | None = None

    def add_example(self, example: Mapping[str, str]) -> str:
        """Add one; its other variables are kept as metadata and given back. Returns the record's id.

        Raises:
            InvalidInputError: it lacks the input or the output.
        """
        missing = [key for key in (self.input_key, self.output_key) if key not in example]
        if missing:
            raise InvalidInputError(
                f"the example has no {missing[0]!r}; it has {', '.join(map(repr, example))}"
            )
        others = {
            key: value for key, value in example.items() if key not in (self.input_key, self.output_key)
        }
        record = self.examples.add(
            example[self.input_key], example[self.output_key], task=self.task, metadata=others
        )
        return str(record.id)

    def select_examples(self, input_variables: Mapping[str, str]) -> list[dict[str, str]]:
        """The examples for these variables, the most similar last.

        Raises:
            InvalidInputError: the input is not among the variables.
        """
        if self.input_key not in input_variables:
            raise InvalidInputError(
                f"the variables have no {self.input_key!r}; there are {', '.join(map(repr, input_variables))}"
            )
        found = self.examples.recall(
            input_variables[self.input_key], k=self.k, task=self.task, balance=self.balance
        )
        selected = []
        for hit in reversed(found.hits):
            shot = shot_of(hit)
            others = {key: value for key, value in hit.metadata.items() if isinstance(value, str)}
            selected.append({**others, self.input_key: shot.input, self.output_key: shot.output})
        return selected

    async def aadd_example(self, example: Mapping[str, str]) -> str:
        """See `add_example`; it runs in a worker thread."""
        return await asyncio.to_thread(partial(self.add_example, example))

    async def aselect_examples(self, input_variables: Mapping[str, str]) -> list[dict[str, str]]:
        """See `select_examples`; it runs in a worker thread."""
        return await asyncio.to_thread(partial(self.select_examples, input_variables))


def _register() -> None:
    """Let `isinstance(selector, BaseExampleSelector)` be true."""
    if find_spec("langchain_core") is not None:
        import_module("langchain_core.example_selectors").BaseExampleSelector.register(MemoryExampleSelector)


_register()
