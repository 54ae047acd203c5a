"""Keeps: tables, the Store that runs work on them in transactions, guarded updates, migrations."""
