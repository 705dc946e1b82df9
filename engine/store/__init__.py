"""The durable log: every event, what was due for it, and every try."""
