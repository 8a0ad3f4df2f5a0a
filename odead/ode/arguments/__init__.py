"""What the user gives: the forms of a right-hand side, containers as vectors, times, annotations."""
