"""Questions about identities and permissions, answered without storing anything."""
