"""How a node of each kind becomes a program: its config, checked, and the workload made of it.

Both shells start from the same `Workload`; neither knows one executor from another.
"""
