"""What `../adjoint_ratio.py` measures, by module."""
