"""ReplicationController: keep a number of equal pods, as it was done before ReplicaSets."""
