"""Rules that a test here registers must be right."""

from checked_rules import rules_are_checked  # noqa: F401 (used by every test)
