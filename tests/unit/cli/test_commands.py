from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from memsdk.cli.commands import HOMES, SECTIONS
from memsdk.cli.main import cli

Run = Callable[..., Result]
NOBODY = "01980f6e-0000-7000-8000-000000000000"
ASKED = [command for section in SECTIONS.values() for command in section.items()]


def command_of(name: str) -> click.Command:
    """The loaded command."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def objects(result: Result) -> list[dict[str, Any]]:
    """The lines of JSON that were printed."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def id_of(run: Run, user: str) -> str:
    """The id of that user's first record."""
    return str(objects(run("list", "--user", user, "--json"))[0]["id"])


@pytest.mark.parametrize("name", HOMES)
def test_every_command_has_help_with_an_example(run: Run, name: str) -> None:
    """People learn a command from its example; one without is not learnt."""
    shown = run(name, "--help")
    assert shown.exit_code == 0
    assert "Example:" in shown.stdout
    assert f"memsdk {name}" in shown.stdout


@pytest.mark.parametrize(("name", "entry"), ASKED, ids=HOMES)
def test_the_table_of_commands_says_what_the_commands_say(name: str, entry: tuple[str, str]) -> None:
    """`memsdk --help` shows the table and not the commands; the two must not drift apart."""
    command = command_of(name)
    assert command.short_help == entry[1]
    assert (command.help or "").splitlines()[0]


@pytest.mark.parametrize("name", [name for name in HOMES if name != "completion"])
def test_every_command_takes_json(name: str) -> None:
    """A program that has to parse tables breaks with the next column."""
    command = command_of(name)
    ends = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for end in ends:
        assert "--json" in [option for parameter in end.params for option in parameter.opts], end.name


def test_help_lists_every_command_and_exit_code(run: Run) -> None:
    """What is not in the help is not found; scripts need the exit codes."""
    shown = run("--help").stdout
    assert all(f"  {name} " in shown for name in HOMES)
    assert "Exit codes:" in shown


def test_init_makes_a_store_and_says_where_and_with_what(run: Run, tmp_path: Path) -> None:
    """The operator must know which folder to back up; twice must harm nothing."""
    first = objects(run("init", "--store", tmp_path / "s", "--json"))[0]
    assert first == {"store": str(tmp_path / "s"), "embedder": "hashing:64:256:hashing", "made": True}
    again = run("init", "--store", tmp_path / "s")
    assert again.exit_code == 0
    assert "there already" in again.stdout


def test_remember_and_recall(filled: Run) -> None:
    """The two commands that everybody tries first."""
    found = filled("recall", "What is Ana allergic to?", "--user", "ana", "-k", "1")
    assert found.exit_code == 0
    assert "Ana is allergic to peanuts." in found.stdout
    assert "user ana" in found.stdout
    recall = objects(filled("recall", "allergic", "--user", "ana", "--json"))[0]
    assert recall["hits"][0]["metadata"] == {"n": 3, "tags": ["health"]}


def test_recall_names_the_document_and_its_section(filled: Run) -> None:
    """An answer without its source can't be checked."""
    found = filled("recall", "hotel room in Oslo", "-k", "1", "--kind", "document")
    assert "Travel" in found.stdout


def test_recall_shows_no_other_users_records(filled: Run) -> None:
    """A forgotten --user must show too little, never too much."""
    assert "peanuts" not in filled("recall", "allergic to peanuts", "-k", "50").stdout
    assert "peanuts" not in filled("recall", "allergic to peanuts", "--user", "ben", "-k", "50").stdout


def test_recall_explains_in_columns(filled: Run) -> None:
    """Why a hit is there is asked when it should not be."""
    header, first = filled("recall", "peanuts", "--user", "ana", "--explain").stdout.splitlines()[:2]
    assert header.split()[:4] == ["#", "score", "meaning", "words"]
    assert "#1" in first


def test_recall_looks_again_with_a_reranker_and_says_where_it_failed(
    filled: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that can't be used must be seen to have had no say, and one that is not there must not be passed over."""
    found = filled("recall", "peanuts", "--user", "ana", "--reranker", "late")
    assert "Ana is allergic to peanuts." in found.stdout
    assert "HashingEmbedder has none" in caplog.text
    assert filled("recall", "peanuts", "--user", "ana", "--reranker", "nobody/nothing").exit_code == 6


def test_recall_renders_a_prompt_and_nothing_else(filled: Run) -> None:
    """It is piped into an LLM; the recall's id goes to stderr."""
    rendered = filled("recall", "peanuts", "--user", "ana", "--render", "--max-tokens", "40")
    assert "Ana is allergic to peanuts." in rendered.stdout
    assert "recall" not in rendered.stdout
    assert rendered.stderr.startswith("recall ")


def test_feedback_takes_the_id_that_recall_printed(filled: Run) -> None:
    """Recall and feedback are two processes here: the id is all that joins them."""
    last = filled("recall", "peanuts", "--user", "ana").stdout.splitlines()[-1]
    recall_id = last.split()[1]
    given = filled("feedback", recall_id, "--output", "No peanuts.", "--score", "1", "--json")
    assert objects(given)[0]["recall_id"] == recall_id
    assert objects(filled("stats", "--json"))[0]["feedback"] == 1


def test_a_text_from_stdin_keeps_its_letters(run: Run) -> None:
    """Pipes carry UTF-8, with or without a mark at the start."""
    assert run("remember", "-", "--user", "zoë", stdin="\ufeffGrüße aus 東京\n".encode()).exit_code == 0
    assert objects(run("list", "--user", "zoë", "--json"))[0]["text"] == "Grüße aus 東京\n"


def test_a_session_is_listed_and_read_back(filled: Run) -> None:
    """What was said, in its order, with who said it."""
    assert objects(filled("sessions", "--user", "ben", "--json"))[0]["session_id"] == "s1"
    turns = filled("sessions", "--user", "ben", "--transcript", "s1").stdout.splitlines()[1:]
    assert [line.split(maxsplit=2)[1] for line in turns] == ["user", "assistant"]
    last = objects(filled("sessions", "--transcript", "s1", "--last", "1", "--json"))
    assert [turn["text"] for turn in last] == ["On Monday."]


def test_update_writes_a_revision_and_history_shows_both(filled: Run) -> None:
    """A correction must not hide what was believed before."""
    known = id_of(filled, "ana")
    assert filled("update", known, "Ana is allergic to peanuts and kiwi.").exit_code == 0
    assert [item["revision"] for item in objects(filled("history", known, "--json"))] == [1, 2]
    shown = filled("show", known).stdout
    assert "kiwi" in shown
    assert '{"n": 3, "tags": ["health"]}' in shown


def test_forget_by_id_asks_nothing_and_prints_a_receipt(filled: Run) -> None:
    """Scripts erase single records; they get the receipt to file."""
    known = id_of(filled, "ana")
    receipt = objects(filled("forget", known, "--json"))[0]
    assert receipt["ids"] == [known]
    assert filled("show", known).exit_code == 3


def test_forget_of_many_needs_a_yes_where_nobody_can_be_asked(filled: Run) -> None:
    """A cron job with a typo must not erase a user."""
    refused = filled("forget", "--user", "ana")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert id_of(filled, "ana")
    assert filled("forget", "--user", "ana", "--yes").exit_code == 0
    assert objects(filled("list", "--user", "ana", "--json")) == []


def test_listing_pages_with_after(filled: Run) -> None:
    """A store has more records than a terminal has lines."""
    first = objects(filled("list", "--limit", "3", "--json"))
    rest = objects(filled("list", "--after", first[-1]["id"], "--json"))
    assert len({item["id"] for item in [*first, *rest]}) == 5
    assert f"--after {first[-1]['id']}" in filled("list", "--limit", "3").stderr


def test_a_second_ingest_finds_nothing_to_do(filled: Run) -> None:
    """Cron ingests the same folder every night."""
    report = objects(filled("ingest", "notes", "--json"))[0]
    assert [len(report[name]) for name in ("added", "updated", "unchanged", "failed")] == [0, 0, 2, 0]


def test_an_ingest_with_a_broken_file_reads_the_others_and_exits_with_7(filled: Run, tmp_path: Path) -> None:
    """One bad file in a thousand must be noticed, and must not stop the others."""
    (tmp_path / "notes" / "broken.json").write_text("{", encoding="utf-8")
    done = filled("ingest", "notes")
    assert done.exit_code == 7
    assert "broken.json" in done.stdout
    assert "unchanged  2" in done.stdout


def test_ingest_reads_stdin_under_a_title(run: Run) -> None:
    """What another program prints can be kept without a file."""
    done = run("ingest", "-", "--title", "Ferry", stdin="It leaves at nine.")
    assert done.exit_code == 0
    assert "Ferry" in run("recall", "When does it leave?").stdout


def test_what_is_exported_can_be_imported_elsewhere(filled: Run, tmp_path: Path) -> None:
    """A store must be able to leave the machine."""
    assert filled("export", "all.jsonl").exit_code == 0
    assert filled("export", "all.jsonl").exit_code == 2  # it is there
    assert filled("export", "all.jsonl", "--force").exit_code == 0
    assert objects(filled("import", "all.jsonl", "--store", "b", "--json"))[0]["records"] == 5
    assert (
        objects(filled("stats", "--store", "b", "--json"))[0]["records"]
        == objects(filled("stats", "--json"))[0]["records"]
    )


def test_a_backup_is_a_store(filled: Run) -> None:
    """A backup that was never opened is a hope."""
    assert filled("backup", "copy").exit_code == 0
    assert "peanuts" in filled("recall", "peanuts", "--user", "ana", "--store", "copy").stdout


@pytest.mark.parametrize("command", ["repair", "sweep", "stats", "config", "version"])
def test_upkeep_of_a_sound_store(filled: Run, command: str) -> None:
    """Each says that all is well, for people and for programs."""
    assert filled(command).exit_code == 0
    assert objects(filled(command, "--json"))


def test_verify_exits_with_5_until_repair_has_mended(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`memsdk verify || alert` is what operators write; here the index has lost everything."""
    found = filled("verify")
    assert found.exit_code == 5
    assert "memsdk repair" in found.stderr
    assert json.loads(filled("verify", "--json").stdout)["clean"] is False
    monkeypatch.setenv("MEMSDK_INDEX", "embedded-inline")
    assert "clean" in filled("repair").stdout
    assert objects(filled("verify", "--json"))[0]["clean"] is True


def test_reindex_changes_the_embedder(filled: Run) -> None:
    """The cure that EmbedderMismatchError names has to work."""
    other = "hashing:32:256:other"
    assert filled("list", "--embedder", other).exit_code == 6
    assert objects(filled("reindex", "--embedder", other, "--json"))[0]["embedder"] == other
    found = filled("recall", "peanuts", "--user", "ana", "--embedder", other)
    assert "peanuts" in found.stdout


def test_config_says_where_a_value_came_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of option, variable and default won is the question when a setting seems to be ignored."""
    monkeypatch.setenv("MEMSDK_REQUIRE_USER", "true")
    rows = {row["name"]: row for row in objects(run("config", "--store", "x", "--json"))}
    assert (rows["require_user"]["value"], rows["require_user"]["source"]) == (True, "environment")
    assert rows["store"]["source"] == "option"
    assert rows["neighbours"]["source"] == "default"
    assert all(row["meaning"] for row in rows.values())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    """A script that completes another program's name would do nothing, silently."""
    assert "_MEMSDK_COMPLETE" in run("completion", shell).stdout


BAD = {
    "no store": (["list"], 4, "memsdk init"),
    "no store for recall": (["recall", "x"], 4, "memsdk init"),
    "store is a file": (["list", "--store", "chat.json"], 4, "no store"),
    "filter is no JSON": (["list", "--filter", "{"], 2, "not JSON"),
    "filter is a list": (["list", "--filter", "[1]"], 2, "not a JSON object"),
    "filter is bottomless": (["list", "--filter", "[" * 100_000], 2, "--filter"),
    "meta without a key": (["remember", "x", "--meta", "=3"], 2, "key=value"),
    "kind unknown": (["list", "--kind", "dream"], 2, "dream"),
    "ttl unknown": (["remember", "x", "--ttl", "soon"], 2, "90s"),
    "ttl endless": (["remember", "x", "--ttl", "9" * 400], 2, "90s"),
    "argument missing": (["recall"], 2, "QUERY"),
    "nothing to remember": (["remember"], 2, "TEXT"),
    "text and file": (["remember", "x", "--file", "y"], 2, "TEXT"),
    "file not there": (["remember", "--file", "nowhere.json"], 2, "nowhere.json"),
    "file is a folder": (["remember", "--file", "."], 2, "directory"),
    "file with a NUL": (["remember", "--file", "a\0b"], 2, "null byte"),
    "nothing to forget": (["forget"], 2, "forget what?"),
    "last without transcript": (["sessions", "--last", "3"], 2, "--transcript"),
    "stdin without a title": (["ingest", "-"], 2, "--title"),
    "title of a file": (["ingest", "notes", "--title", "x"], 2, "--title"),
    "nothing to ingest": (["ingest", "nowhere"], 7, "nowhere"),
    "command unknown": (["rember", "x"], 2, "rember"),
    "json and render": (["recall", "x", "--json", "--render"], 2, "not both"),
}


@pytest.mark.parametrize(("arguments", "code", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_a_line_and_an_exit_code(run: Run, arguments: list[str], code: int, says: str) -> None:
    """A traceback tells a person nothing, and a wrong exit code misleads a script."""
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output
    assert not Path("agent-memory").exists()


BAD_IN_A_STORE = {
    "k of 0": (["recall", "x", "-k", "0"], 2, "expected 1 to 1,000"),
    "blank query": (["recall", " "], 2, "blank"),
    "blank user": (["recall", "x", "--user", ""], 2, "user_id"),
    "time unknown": (["recall", "x", "--as-of", "yesterday"], 2, "ISO 8601"),
    "time unknown on writing": (["remember", "x", "--at", "noon"], 2, "ISO 8601"),
    "operator unknown": (["list", "--filter", '{"n": {"$near": 3}}'], 2, "$near"),
    "id is none": (["show", "peanuts"], 2, "UUID"),
    "id unknown": (["show", NOBODY], 3, NOBODY),
    "id of history unknown": (["history", NOBODY], 3, NOBODY),
    "id to update unknown": (["update", NOBODY, "x"], 3, NOBODY),
    "id to forget unknown": (["forget", NOBODY], 3, NOBODY),
    "recall unknown": (["feedback", NOBODY, "--score", "1"], 3, NOBODY),
    "score out of range": (["feedback", NOBODY, "--score", "7"], 2, "from 0"),
    "session unknown": (["sessions", "--transcript", "s9"], 3, "s9"),
    "limit of 0": (["list", "--limit", "0"], 2, "limit"),
    "nothing to update": (["update", NOBODY], 2, "TEXT"),
    "both ends": (["forget", "--before", "2025-01-01", "--older-than", "3d", "--yes"], 2, "not both"),
    "no export": (["import", "chat.json"], 2, "chat.json"),
    "backup onto something": (["backup", "notes"], 2, "not empty"),
    "embedder unknown": (["init", "--embedder", "./nowhere"], 2, "nowhere"),
    "other embedder": (["list", "--embedder", "hashing:8"], 6, "memsdk reindex"),
}


@pytest.mark.parametrize(("arguments", "code", "says"), BAD_IN_A_STORE.values(), ids=BAD_IN_A_STORE)
def test_bad_input_to_a_store_changes_nothing(
    filled: Run, arguments: list[str], code: int, says: str
) -> None:
    """As above; and what is there stays as it is."""
    done = filled(*arguments)
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output
    assert len(objects(filled("list", "--json"))) == 5


@pytest.mark.parametrize(
    "command", [["remember", "-"], ["ingest", "-", "--title", "x"], ["remember", "--file", "-"]]
)
def test_stdin_that_is_no_text_is_refused(run: Run, command: list[str]) -> None:
    """Bytes guessed wrong would be remembered as nonsense for good."""
    done = run(*command, stdin=b"caf\xe9 au lait")
    assert done.exit_code == 2
    assert "UTF-8" in done.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code(run: Run) -> None:
    """Whoever reports a bug needs it; wherever on the line the option stands."""
    assert run("list", "--debug").exit_code == 4
    assert run("--debug", "list").exit_code == 4


def test_a_store_that_requires_users_is_told_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting has to hold on the command line too."""
    monkeypatch.setenv("MEMSDK_REQUIRE_USER", "true")
    assert run("remember", "x").exit_code == 2
    assert run("remember", "x", "--shared").exit_code == 0


def test_an_invalid_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is what has to be corrected."""
    monkeypatch.setenv("MEMSDK_NEIGHBOURS", "many")
    done = run("config")
    assert done.exit_code == 2
    assert "MEMSDK_NEIGHBOURS" in done.stderr
