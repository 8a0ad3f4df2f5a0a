"""The one law of `autodiff` as an executable check, for users' functions and for odead itself."""

from .check import check_derivatives

__all__ = ["check_derivatives"]
