from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from memsdk.errors import InvalidInputError
from memsdk.messages import clean_history, drafts_of
from memsdk.models import Draft, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIKE = replace(Draft.blank(), scope=Scope(user_id="ana"), metadata={"a": 1, "b": 1}, occurred_at=NOW)


def test_a_message_brings_its_own_and_takes_the_rest_from_the_call() -> None:
    """A chat export carries times and ids; losing them loses the order of what was said."""
    message = {
        "role": "user",
        "content": "hi",
        "name": "Ana",
        "time": "2026-01-02",
        "id": "m1",
        "metadata": {"b": 2},
    }
    own, bare = drafts_of([message, "plain"], like=LIKE)
    assert (own.role, own.name, own.external_id, own.is_message) == ("user", "Ana", "m1", True)
    assert own.occurred_at == NOW + timedelta(days=1)
    assert own.metadata == {"a": 1, "b": 2}
    assert (bare.text, bare.role, bare.is_message, bare.occurred_at, bare.metadata) == (
        "plain",
        None,
        False,
        NOW,
        LIKE.metadata,
    )
    assert own.scope == bare.scope == LIKE.scope


def test_the_texts_of_a_content_with_parts_are_joined() -> None:
    """OpenAI's clients send parts as soon as one image was in the chat."""
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "here"},
    ]
    assert drafts_of({"role": "user", "content": parts}, like=LIKE)[0].text == "look\nhere"


@pytest.mark.parametrize("like", [replace(LIKE, external_id="x"), replace(LIKE, supersedes=UUID(int=1))])
def test_an_id_goes_with_one_text(like: Draft) -> None:
    """One id on ten records would make nine of them updates of the first."""
    assert len(drafts_of("one", like=like)) == 1
    with pytest.raises(InvalidInputError, match="one text"):
        drafts_of(["one", "two"], like=like)


def test_a_history_is_lines_with_speakers() -> None:
    """A query is searched with what was said before it, by whom."""
    history = [
        {"role": "user", "content": "hi"},
        {"role": "user", "name": "Bo", "content": "hey"},
        "and so on",
    ]
    assert clean_history(history) == ("user: hi", "Bo: hey", "and so on")
    assert clean_history(None) == ()
