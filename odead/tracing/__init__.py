"""Recording: the user's function runs once and becomes a Program. `trace` is the entry."""
