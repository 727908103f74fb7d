"""A plugin for unfold."""
