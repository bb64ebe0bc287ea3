"""The table of commands: name, module, one line of help. `memsdk --help` reads this and imports no command."""

from __future__ import annotations

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Remember and recall": {
        "init": ("stores", "Make a store and say where it is and which embedder it has."),
        "remember": ("writing", "Remember a text, or the messages of a chat."),
        "recall": ("recalling", "Find what is worth knowing for a query, best first."),
        "ingest": ("ingesting", "Read files and folders into the memory."),
        "feedback": ("writing", "Say what became of a recall."),
    },
    "Tools, examples, passages": {
        "tools": ("tools", "Keep the tools an agent can call, and find those for a request."),
        "passages": ("passages", "Keep texts that grow, and find what of them bears on their end."),
        "examples": ("examples", "Keep solved examples, and find those most like an input."),
    },
    "Look and change": {
        "list": ("reading", "List records, oldest first."),
        "show": ("reading", "Show one record."),
        "history": ("reading", "Show every revision of a record, oldest first."),
        "sessions": ("reading", "List sessions, or read one back."),
        "update": ("writing", "Write a new revision of a record."),
        "forget": ("forgetting", "Erase records and every trace of their texts."),
    },
    "Measure": {
        "eval": ("evaluating", "Measure recall on a set, or on the store's own feedback."),
    },
    "Look after the store": {
        "stats": ("stores", "Say what the store holds."),
        "verify": ("upkeep", "Compare the records with the index."),
        "repair": ("upkeep", "Mend what verify finds."),
        "reindex": ("upkeep", "Build all vectors anew, with another embedder if one is given."),
        "space": ("spaces", "Enable a task that needs vectors of its own."),
        "sweep": ("forgetting", "Erase what has expired, and old recalls."),
        "export": ("moving", "Write the store, or one user's part of it, as JSON lines."),
        "import": ("moving", "Read what export wrote."),
        "backup": ("moving", "Copy the store to a new folder while others write."),
    },
    "Train": {
        "retrain": (
            "retraining",
            "Learn from feedback; a better query encoder is switched to, a worse one is not.",
        ),
        "train": ("training", "The stages of a retrain, one by one."),
        "models": ("models", "Look at trained query versions, and switch between them."),
    },
    "About memsdk": {
        "config": ("about", "Show every setting, its value, and where that came from."),
        "version": ("about", "Show the versions of memsdk and of what it runs on."),
        "completion": ("about", "Print the completion script of a shell."),
    },
}
"""By the headings of the help. A command `x` of module `y` is the object `x_command` of `memsdk.cli.y`."""

HOMES = {name: module for section in SECTIONS.values() for name, (module, _) in section.items()}
