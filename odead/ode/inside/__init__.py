"""Solves inside functions that are differentiated, and second derivatives."""
