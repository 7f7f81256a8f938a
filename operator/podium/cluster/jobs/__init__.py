"""Jobs and Pods: what they are made of, what they mean, and the status of managed Jobs."""
