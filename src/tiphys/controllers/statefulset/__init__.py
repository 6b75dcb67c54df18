"""StatefulSet: pods with names, claims and an order of their own."""
