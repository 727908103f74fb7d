"""Making bad photos of good ones: recipes, files, and data sets on the fly."""
