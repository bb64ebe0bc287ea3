"""Where settings come from: arguments, then `MEMSDK_*` variables, then the defaults."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from memsdk.settings import Settings


def test_variables_set_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator configures a program without changing it, and the program has the last word."""
    monkeypatch.setenv("MEMSDK_NEIGHBOURS", "4")
    monkeypatch.setenv("MEMSDK_REQUIRE_USER", "true")
    monkeypatch.setenv("MEMSDK_HOST_IDLE_S", "0.5")
    found = Settings(host_idle_s=7.0)
    assert (found.neighbours, found.require_user, found.host_idle_s) == (4, True, 7.0)
    assert found.synchronous == "FULL"


def test_variables_are_found_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it always was."""
    monkeypatch.setenv("memsdk_threads", "3")
    assert Settings().threads == 3


@pytest.mark.parametrize(("name", "value"), [("NEIGHBOURS", "9"), ("SYNCHRONOUS", "OFF"), ("THREADS", "")])
def test_a_variable_is_checked_as_an_argument_is(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A typo must not become the default in silence."""
    monkeypatch.setenv(f"MEMSDK_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_other_variables_are_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """MEMSDK_STORE and its like are the command line's; an unknown argument is still an error."""
    monkeypatch.setenv("MEMSDK_STORE", "somewhere")
    Settings()
    with pytest.raises(ValidationError, match="store"):
        Settings(store="somewhere")  # type: ignore[call-arg]  # what is tested
