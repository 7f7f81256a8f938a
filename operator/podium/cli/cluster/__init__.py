"""The verbs on runs of a cluster: `podium --cluster VERB`, `kubectl podium VERB`.

`connection` finds the cluster, `runs` reads what is there, `artifact_store` reaches the store of a
run through a Pod; the other modules are verbs.
"""
