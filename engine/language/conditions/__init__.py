"""The inside of conditions: the words of comparisons, what they are given, and how they answer."""
