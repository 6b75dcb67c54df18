"""The patch types: JSON patch (RFC 6902), JSON merge patch (RFC 7386), Kubernetes' strategic merge patch."""
