"""What training minimises: pure functions on scores, rewards and offsets, each with a slow reference in the tests."""
