"""The API server misbehaves: nothing is lost, nothing runs twice, and nothing storms it."""
