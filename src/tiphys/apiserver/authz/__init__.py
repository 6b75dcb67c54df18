"""May they? RBAC, the node authorizer, and the texts of a refusal."""
