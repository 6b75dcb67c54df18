"""HTTP from outside to Services."""
