"""LangChain's shapes: the example selector, and its own tools on our shelf."""

# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import asyncio

import pytest

from memsdk import Memory
from memsdk.errors import InvalidInputError
from memsdk.integrations.langchain import MemoryExampleSelector


def selector_of(memory: Memory) -> MemoryExampleSelector:
    selector = MemoryExampleSelector(
        examples=memory.examples, input_key="question", output_key="answer", k=2, task="t"
    )
    for question, answer in (
        ("a great film", "positive"),
        ("an awful film", "negative"),
        ("so boring", "negative"),
    ):
        selector.add_example({"question": question, "answer": answer, "by": "Ana"})
    return selector


def test_the_selector_gives_whole_examples_with_the_most_similar_last(memory: Memory) -> None:
    """A prompt template puts them in the order given, and fills in every variable that was added."""
    chosen = selector_of(memory).select_examples({"question": "a great film", "else": "x"})
    assert chosen[-1] == {"question": "a great film", "answer": "positive", "by": "Ana"}
    assert len(chosen) == 2


def test_the_selector_works_under_asyncio(memory: Memory) -> None:
    """An async chain awaits the selector's other two methods."""
    selector = selector_of(memory)
    assert asyncio.run(selector.aadd_example({"question": "a great film", "answer": "positive", "by": "Ana"}))
    assert asyncio.run(selector.aselect_examples({"question": "great"})) == selector.select_examples(
        {"question": "great"}
    )


def test_a_missing_variable_is_named(memory: Memory) -> None:
    """A misspelt variable would otherwise select examples for nothing."""
    selector = selector_of(memory)
    with pytest.raises(InvalidInputError, match="'question'"):
        selector.select_examples({"input": "x"})
    with pytest.raises(InvalidInputError, match="'answer'"):
        selector.add_example({"question": "x"})


def test_langchains_own_template_takes_it(memory: Memory) -> None:
    """The shape is LangChain's to define: only LangChain can say that ours is right."""
    prompts = pytest.importorskip("langchain_core.prompts")
    template = prompts.FewShotPromptTemplate(
        example_selector=selector_of(memory),
        example_prompt=prompts.PromptTemplate.from_template("Q: {question}\nA: {answer}"),
        suffix="Q: {question}\nA:",
        input_variables=["question"],
    )
    text = template.format(question="a great film")
    assert text.endswith("Q: a great film\nA: positive\n\nQ: a great film\nA:")


def test_langchains_own_tools_are_taken(memory: Memory) -> None:
    """What `@tool` makes is what LangChain's users have."""
    tools = pytest.importorskip("langchain_core.tools")

    @tools.tool  # type: ignore[untyped-decorator]  # it may not be installed
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    memory.tools.add([multiply])
    (hit,) = memory.tools.recall("multiply numbers")
    assert hit.name == "multiply"
    assert hit.schema is not None
    assert set(hit.schema["parameters"]["properties"]) == {"a", "b"}  # type: ignore[index, arg-type, call-overload]  # a schema
