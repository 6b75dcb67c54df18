"""The generic verbs: one file per verb, and what they share."""
