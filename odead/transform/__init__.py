"""Program -> Program: derivatives, optimising passes, sparsity and colouring."""
