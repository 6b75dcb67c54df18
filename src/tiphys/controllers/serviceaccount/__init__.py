"""Every namespace has a ServiceAccount named `default`."""
