"""The operator: the same engine on Jobs of a Kubernetes cluster.

Watches (kopf for what users write, reflectors for Jobs and Pods) fill the informer cache and queue
the keys of runs. The controller in `runs` takes one key at a time: the observer reports to the
engine what Jobs and Pods say, the launcher makes them, the status writer writes what changed. Once
that is written, the closer and the controller in `jobs` finish Jobs and release Pods. Only
`kube.connection` imports the Kubernetes client, only `watch.kopf_source` imports kopf.
"""
