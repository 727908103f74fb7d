"""The engine ``ray``: a folder restored by the workers of a Ray cluster."""
