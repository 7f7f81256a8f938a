"""The pure state machine of a run: no I/O, no clock, no randomness, no Kubernetes, no asyncio.

`Engine.step` takes what was observed, what was asked for and the time; it changes the run's
status in place and returns the actions that a shell (cluster or laptop) is to carry out.
"""
