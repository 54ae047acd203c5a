"""Messengers: one contract, one folder each. An adapter verifies, parses and sends; it decides and keeps nothing."""
