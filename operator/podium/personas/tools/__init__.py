"""Tools of personas: commands, files, servers of MCP. Loaded only where a persona has some.

A model only names a tool; whether it is there, with which arguments, how often, for how long and
how much it may answer is decided here. Tools run in the node's own process tree, without the keys
of the models.
"""
