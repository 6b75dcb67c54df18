"""Links, addresses, routes and packet rules on one machine; the Network door."""
