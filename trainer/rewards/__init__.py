"""Rewards: how much each candidate helped the LLM towards the desired output."""
