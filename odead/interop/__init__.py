"""Adapters to other packages, a small file each; the package is imported inside."""
