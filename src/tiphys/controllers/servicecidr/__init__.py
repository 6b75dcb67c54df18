"""ServiceCIDR: ready when it is there, gone when no address of it is in use."""
