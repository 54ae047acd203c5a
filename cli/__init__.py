"""The `loa` command: sits on top of everything, decides nothing."""
