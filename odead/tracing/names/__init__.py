"""The view of its namespace in which a recorded function runs, and what it read there."""
