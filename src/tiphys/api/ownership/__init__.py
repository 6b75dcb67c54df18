"""Server-side apply and managedFields: who manages which field."""
