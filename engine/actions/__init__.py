"""What a rule can do: one file for each word, found and not registered."""
