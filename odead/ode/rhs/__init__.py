"""The right-hand side as compiled programs: its Jacobian, its switches, its mass matrix."""
