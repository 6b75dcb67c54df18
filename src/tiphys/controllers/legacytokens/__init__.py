"""Tokens in Secrets: when each was last used, and the end of generated ones that nobody has used for a year."""
