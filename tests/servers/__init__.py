"""Stand-ins for the servers of others, over real HTTP."""
