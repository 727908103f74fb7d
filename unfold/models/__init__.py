"""Restoration models: assemblies of terms, priors and estimators."""
