"""Deadlines: what one that is set costs, how late one that passes ends its call."""
