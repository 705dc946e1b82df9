"""Who sends events: how their requests are verified, read, and made one of a kind."""
