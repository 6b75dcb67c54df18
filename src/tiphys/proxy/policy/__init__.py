"""NetworkPolicies as packet rules."""
