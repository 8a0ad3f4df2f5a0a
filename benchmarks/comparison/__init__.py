"""Gradients of ODE solutions by odead and its peers: problems, peers, timing, tables and diagrams."""
