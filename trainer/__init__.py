"""The trainer: the agent's own LLM teaches its memory. Rows, rewards, losses, the ladder of fits, the gate."""
