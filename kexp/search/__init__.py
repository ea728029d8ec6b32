"""The search: ask, group, run, tell."""
