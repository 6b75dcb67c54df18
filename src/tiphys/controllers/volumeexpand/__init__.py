"""Claims that ask for more than they have get larger volumes."""
