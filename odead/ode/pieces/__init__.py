"""Solutions with switches, stops and events: solved piece by piece."""
