"""The operator: the same engine on Jobs of a Kubernetes cluster.

handlers (kopf: what users write) and watches (Jobs and Pods) fill the cache and put keys of runs
into a queue. The controller in runs takes one key at a time: attempts tells the engine what Jobs
and Pods say and makes them, status writes what changed, keeper ends Jobs and lets Pods go once that
is written. Only gateway imports the Kubernetes client, only handlers imports kopf.
"""
