"""Runs that an older operator began, as the server had them, and a newer one that takes them over.

- `states/VERSION.yaml`: what was saved of each release, by `python -m tests.upgrade`
- `saved_runs`: what is saved: runs in the middle of their work, on fake machines
- `states`: reads what was saved, and puts it into another namespace
"""
