"""The HTTP side of the ingress: bodies, keys, errors and event streams over plain objects. Knows nothing of Ray."""
