"""Branches and loops that depend on values: both sides in one program."""
