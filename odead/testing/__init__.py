"""The one law of `autodiff` as an executable check, for users' functions and for odead itself."""

from .check import check_derivatives
from .rules import check_rule

__all__ = ["check_derivatives", "check_rule"]
