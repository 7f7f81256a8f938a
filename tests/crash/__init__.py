"""The operator is killed at every point at which it speaks to the API server, and goes on after."""
