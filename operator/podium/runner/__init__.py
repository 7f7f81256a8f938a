"""What runs inside a node's container or process: inputs in, work, outputs out.

A node that fails for a reason of its own writes `{"podiumError": {"reason", "message"}}` where its
output would stand, or in the file $PODIUM_LAST_WORDS, and ends with exit code 1; the shells show
that reason. Nothing here is trusted: outputs are data.
"""

LAST_WORDS = "PODIUM_LAST_WORDS"
"""Variable with the file for why a node failed, where its output stands elsewhere than what the
shell reads then."""
