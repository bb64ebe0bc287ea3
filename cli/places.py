"""Where a command looks for things, said once and importing nothing."""

DEFAULT_STORE = "agent-memory"
DATABASE = "memory.db"
INDEX = "index"
