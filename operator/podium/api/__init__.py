"""What users write: the resources as pydantic models, and the files that hold them.

The CRDs are generated from these models. Nothing here knows the engine, Kubernetes or a clock.
"""
