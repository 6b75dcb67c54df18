"""EndpointSlice: the pods behind each Service, in slices."""
