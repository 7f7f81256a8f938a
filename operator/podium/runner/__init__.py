"""What runs inside a node's container or process: inputs in, work, outputs out.

A node that fails for a reason of its own writes `{"podiumError": {"reason", "message"}}` where its
output would stand and ends with exit code 1; the shells show that reason. Nothing here is trusted:
outputs are data.
"""
