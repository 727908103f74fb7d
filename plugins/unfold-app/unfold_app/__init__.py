"""unfold's models in a browser: upload a photo, restore it, look inside."""
