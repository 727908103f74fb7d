"""unfold's models in a browser: upload a photo, restore it, inspect the stages."""
