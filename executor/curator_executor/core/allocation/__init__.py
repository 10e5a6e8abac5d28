"""How many workers each stage gets, and on which nodes, for the most inputs a second. Pure."""
