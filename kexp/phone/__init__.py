"""The phone: the page that it opens, and what serves it."""
