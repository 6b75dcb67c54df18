"""ResourceQuota: count what a namespace uses, so that admission can refuse what is too much."""
