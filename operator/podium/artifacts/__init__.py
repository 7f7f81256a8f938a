"""Artifacts: files that nodes hand over, kept by their contents.

blobs/sha256/ab/abcd…                    contents, or a piece of them, or a list of pieces
runs/UID/NODE/EXECUTION/manifest.json    what an execution left; it is written last, and once

A directory of a laptop, a volume or a bucket: `store.ArtifactStore` is the same over each of them.
Nothing here is loaded by a run without artifacts, nor by this package itself.
"""
