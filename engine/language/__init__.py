"""The rule language: text in, values with their places out. Knows nothing of shops' systems, nor of time."""
