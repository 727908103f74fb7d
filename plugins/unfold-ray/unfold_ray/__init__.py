"""The engine ``ray``: the workers of a Ray cluster restore a folder."""
