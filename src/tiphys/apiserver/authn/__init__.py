"""Who speaks? Certificates, tokens, and acting as somebody else."""
