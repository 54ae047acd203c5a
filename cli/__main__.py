"""`python -m cli`: the command without its console script."""

from cli.main import app

app()
