"""The values that a recorded function computes with."""
