"""Web pages from Jinja2 templates, which escape all text that is put into them."""

from .render import render

__all__ = ["render"]
