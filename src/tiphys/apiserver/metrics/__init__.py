"""What pods, nodes and Services use now: asked of the nodes when somebody asks, and never stored."""
