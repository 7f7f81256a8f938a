"""What the API server says: kopf and the reflectors feed a store of the objects seen last."""
