"""The time edge: sends what waits, handles what came in, does what is due."""
