"""Losses: pure functions on scores, rewards and offsets."""
