"""The operator: the same engine on Jobs of a Kubernetes cluster.

handlers (kopf) put keys of runs into a queue; a controller takes one key at a time, tells the
engine what the Jobs and Pods say, carries its actions out and writes the status. Only `gateway`
imports the Kubernetes client, only `handlers` imports kopf.
"""
