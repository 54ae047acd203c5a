"""The HTTP edge: webhooks, REST, the console, public pages. It reads, checks, calls one use case, and answers."""
