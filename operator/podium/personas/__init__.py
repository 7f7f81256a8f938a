"""What a persona node does in its own process: prompts, calls to a model, answers, teams.

`work.py` is the way in; each part is a module that is loaded when it is needed, for a node that
makes one call should not wait for more. Answers are data of others: bounded, checked, never run.
"""
