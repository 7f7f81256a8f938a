"""The Kubernetes API: client, views of its objects, Events, leader election."""
