"""The verbs on runs of a cluster: `podium --cluster VERB`, `kubectl podium VERB`.

`connection` finds the cluster, `runs` reads what is there, `kubectl` and `artifact_store` reach the
store of a run through a Pod; the other modules are verbs.
"""
