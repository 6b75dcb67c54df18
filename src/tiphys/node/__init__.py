"""The node agent: pod state machine, probes, volumes, images, status."""
