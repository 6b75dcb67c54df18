"""A Service of type LoadBalancer gets the addresses of the nodes: the cluster is its own load balancer."""
