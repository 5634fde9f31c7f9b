"""Dictionaries that others published, and giving one's own away: a file for each format, to and from `Dictionary`.

The package imports nothing, so that the config can read its settings without torch.
"""
