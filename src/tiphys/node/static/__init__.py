"""Static pods: those that a node runs from files of its own, and what the API shows of them."""
