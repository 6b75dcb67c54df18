"""EndpointSlice mirroring: Endpoints that somebody wrote by hand, as slices."""
