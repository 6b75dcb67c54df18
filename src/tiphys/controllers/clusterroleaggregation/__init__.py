"""ClusterRoles that gather the rules of others: `admin`, `edit` and `view`, and what their owners label for them."""
