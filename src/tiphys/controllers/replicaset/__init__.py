"""ReplicaSet: keep a number of equal pods."""
