"""Models measured on data sets: metrics by a named protocol, reports, tables."""
