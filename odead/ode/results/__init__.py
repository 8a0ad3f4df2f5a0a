"""What the user gets: solutions, progress."""
