"""What `memory.examples` promises: the most similar found and shown last, labels in turn, nothing unapproved."""

# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import IngestError, InvalidInputError, NotFoundError

Open = Callable[..., Memory]

FILMS = [
    ("a great film", "positive"),
    ("a great and lovely film", "positive"),
    ("a truly great film", "positive"),
    ("an awful film", "negative"),
    ("so boring", "negative"),
]


@pytest.fixture
def films(memory: Memory) -> Memory:
    for given, solved in FILMS:
        memory.examples.add(input=given, output=solved, task="sentiment", instruction="Tell the sentiment.")
    memory.examples.add("a great film", "un grand film", task="translation")
    return memory


def inputs(found: object) -> list[object]:
    return [hit.data["input"] for hit in found]  # type: ignore[attr-defined]  # records or hits


def test_the_most_similar_is_first_in_the_list_and_last_in_the_prompt(films: Memory) -> None:
    """A list is read from its head; a prompt is weighed from its end."""
    found = films.examples.recall("a great film", k=2, task="sentiment")
    assert inputs(found)[0] == "a great film"
    assert found.render().endswith("Input: a great film\nOutput: positive")
    assert found.as_messages()[0] == {"role": "system", "content": "Tell the sentiment."}
    assert found.as_messages()[-2:] == [
        {"role": "user", "content": "a great film"}, {"role": "assistant", "content": "positive"},
    ]  # fmt: skip


def test_a_task_keeps_to_itself(films: Memory) -> None:
    """The same input solved for another task is the wrong answer."""
    assert films.examples.recall("a great film", k=9, task="translation").render() == (
        "Input: a great film\nOutput: un grand film"
    )
    assert len(films.examples.list(task="sentiment")) == len(FILMS)
    assert films.examples.recall("a great film", task="nothing").render() == ""


@pytest.mark.parametrize("budget", [0, 5, 15, 30, 60, 1000])
def test_a_short_budget_keeps_the_best(films: Memory, budget: int) -> None:
    """Cut from the wrong end, the prompt would keep the example that fits least."""
    found = films.examples.recall("a great film", k=4, task="sentiment", max_tokens=budget or None)
    from memsdk.tokens import load_counter

    count = load_counter("cl100k_base").count
    text = found.render(budget)
    assert count(text) <= budget
    shown = [given for given in inputs(found) if f"Input: {given}\n" in text]
    assert shown == inputs(found)[: len(shown)]
    messages = found.as_messages(budget)
    assert sum(count(message["content"]) + 4 for message in messages) <= budget


def test_labels_are_balanced(films: Memory) -> None:
    """Three of one class in four teach the answer, not the question."""
    plain = films.examples.recall("a great film", k=3, task="sentiment")
    even = films.examples.recall("a great film", k=3, task="sentiment", balance="label")
    assert {hit.data["output"] for hit in plain} == {"positive"}
    assert sorted(str(hit.data["output"]) for hit in even) == ["negative", "positive", "positive"]
    assert inputs(even)[0] == inputs(plain)[0]


def test_a_label_of_its_own_goes_before_the_output(memory: Memory) -> None:
    """Free answers have a class too, and it is not their text."""
    for number in range(4):
        memory.examples.add(
            f"refund number {number}", f"Dear {number}", label="refund", metadata={"team": "a"}
        )
    memory.examples.add("card lost", "Oh no", label="card", metadata={"team": "b"})
    for field in ("label", "team"):
        even = memory.examples.recall("refund number 1", k=2, balance=field)
        assert {hit.metadata["label"] for hit in even} == {"refund", "card"}


def test_the_same_example_is_one(memory: Memory) -> None:
    """Logs are imported again and again; doubles would fill the prompt."""
    one = memory.examples.add("a", "b", task="t")
    assert memory.examples.add("a", "b", task="t").id == one.id
    assert memory.examples.add("a", "b", task="u").id != one.id
    assert memory.examples.add("a", "c", task="t").id != one.id
    assert memory.examples.add("a\nb", "c").id != memory.examples.add("a", "b\nc").id
    kept = memory.examples.add("x", "y", id="mine")
    assert memory.examples.add("x", "better", id="mine").id == kept.id
    assert memory.verify().clean


def test_scores_choose(memory: Memory) -> None:
    """A weak answer that was kept for the record must not be taught."""
    memory.examples.add("question one", "good", score=0.9)
    memory.examples.add("question one", "poor", score=0.1)
    memory.examples.add("question one", "unjudged")
    found = memory.examples.recall("question one", min_score=0.5, filters={"score": {"$lt": 1}})
    assert [hit.data["output"] for hit in found] == ["good"]


def test_rows_are_taken_as_people_write_them(memory: Memory, tmp_path: Path) -> None:
    """Every fine-tuning format calls the two something else."""
    rows: list[dict[str, object]] = [
        {"input": "i1", "output": "o1", "task": "t", "label": "l", "metadata": {"n": 1}, "score": 1},
        {"prompt": "i2", "completion": "o2"},
        {"question": "i3", "answer": 3},
        {"instruction": "Say hello.", "input": "", "output": "hello"},
        {"input": "i5", "output": "o5", "score": 0.1},
    ]
    report = memory.examples.ingest(rows, task="other", min_score=0.5)
    assert (report.added, report.skipped) == (4, 1)
    assert memory.examples.ingest(rows, task="other", min_score=0.5).unchanged == 4
    (first,) = memory.examples.list(task="t")
    assert first.metadata == {"n": 1, "label": "l", "score": 1.0}
    assert {record.data["output"] for record in memory.examples.list(task="other")} == {"o2", "3", "hello"}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows[:2]))
    assert memory.examples.ingest(path, task="other").unchanged == 2
    with pytest.raises(InvalidInputError, match="example 2: the output"):
        memory.examples.ingest([{"input": "new", "output": "x"}, {"input": "no output"}])
    assert len(memory.examples.list()) == 4  # all or nothing


def test_of_a_chat_log_only_approved_answers_are_taken(memory: Memory, tmp_path: Path) -> None:
    """What nobody approved may be wrong, and would be taught as right."""
    log = [
        {"role": "user", "content": "good question"}, {"role": "assistant", "content": "good answer", "rating": "up"},
        {"role": "user", "content": "bad question"}, {"role": "assistant", "content": "bad answer", "metadata": {"score": 0.2}},
        {"role": "user", "content": "open question"}, {"role": "assistant", "content": "open answer"},
    ]  # fmt: skip
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": log}))
    report = memory.examples.ingest(path, task="support")
    assert (report.added, report.skipped) == (1, 2)
    (record,) = memory.examples.list()
    assert (record.data["input"], record.metadata["score"]) == ("good question", 1.0)
    (tmp_path / "notes.txt").write_text("Just notes.")
    with pytest.raises(IngestError, match="neither examples"):
        memory.examples.ingest(tmp_path / "notes.txt")


def test_ingest_knows_a_file_of_examples(memory: Memory, tmp_path: Path) -> None:
    """A folder of an agent's files holds its examples; as chunks of text they could not be used as few shots."""
    (tmp_path / "solved.jsonl").write_text('{"input": "a", "output": "b"}\n{"input": "c", "output": "d"}\n')
    (tmp_path / "mixed.jsonl").write_text('{"input": "a", "output": "b"}\n{"else": 1}\n')
    report = memory.documents.ingest(tmp_path, tags=["x"])
    assert (report.examples, [document.title for document in report.added]) == (2, ["mixed"])
    assert [record.metadata for record in memory.examples.list()] == [{"tags": ["x"]}] * 2


def test_examples_keep_to_their_scope_and_can_be_removed(memory: Memory) -> None:
    """A customer's solved case shown to another customer is a leak."""
    ana, bo = memory.scoped(user_id="ana"), memory.scoped(user_id="bo")
    mine = ana.examples.add("secret question", "secret answer")
    memory.examples.add("shared question", "shared answer")
    assert inputs(bo.examples.recall("secret question", k=9)) == ["shared question"]
    assert len(ana.examples.recall("secret question", k=9)) == 2
    with pytest.raises(NotFoundError):
        bo.examples.remove(mine)
    assert ana.examples.remove(mine).records == 1
    assert ana.examples.remove is not None
    with pytest.raises(NotFoundError):
        memory.tools.remove(memory.examples.list()[0].id)  # an example is no tool


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"input": " ", "output": "x"}, "the input is empty"),
        ({"input": "x", "output": ""}, "the output is empty"),
        ({"input": "x", "output": 3}, "expected str"),
        ({"input": "x\0", "output": "y"}, "NUL"),
        ({"input": "\ud800", "output": "y"}, "lone surrogate"),
        ({"input": "x", "output": "y", "score": 2}, "from 0"),
        ({"input": "x", "output": "y", "task": "\n"}, "task"),
        ({"input": "x", "output": "y" * 1_000_001}, "at most"),
    ],
)
def test_bad_examples_change_nothing(memory: Memory, arguments: dict[str, object], says: str) -> None:
    """An example without its answer teaches silence."""
    with pytest.raises(InvalidInputError, match=says):
        memory.examples.add(**arguments)  # type: ignore[arg-type]  # that is the claim
    assert memory.examples.list() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"k": 0},
        {"k": 10**9},
        {"diversify": 2},
        {"diversify": "x"},
        {"balance": ""},
        {"min_score": -1},
        {"max_tokens": 0},
    ],
)
def test_bad_questions_are_refused(films: Memory, arguments: dict[str, object]) -> None:
    """A limit that is silently mended answers another question than was asked."""
    with pytest.raises(InvalidInputError):
        films.examples.recall("x", **arguments)  # type: ignore[arg-type]  # that is the claim


def test_a_forgotten_example_leaves_no_byte(tmp_path: Path, memory: Memory) -> None:
    """Promise 3: the input and output lie beside the text, and are erased with it."""
    word = "zq9marker"
    memory.examples.add(
        f"{word} in", f"{word} out", task=f"{word}task", instruction=f"{word} do", user_id="ana"
    )
    memory.examples.recall(f"{word} in", user_id="ana")
    memory.flush()
    memory.forget(user_id="ana")
    found = [
        path.name
        for path in (tmp_path / "store").rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]
    assert found == []


def test_examples_survive_export_and_import(films: Memory, tmp_path: Path, open_memory: Open) -> None:
    """Moved without their parts they could not be shown as few shots."""
    films.export_jsonl(tmp_path / "export.jsonl")
    other = open_memory(tmp_path / "other")
    other.import_jsonl(tmp_path / "export.jsonl")
    ask = {"k": 3, "task": "sentiment"}
    assert other.examples.recall("great", **ask).render() == films.examples.recall("great", **ask).render()  # type: ignore[arg-type]  # as above
    assert (
        other.examples.add(
            "a great film", "positive", task="sentiment", instruction="Tell the sentiment."
        ).seen
        == 2
    )
