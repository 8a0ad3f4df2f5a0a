"""What functions do to traced values: those of NumPy, SciPy and `math`."""
