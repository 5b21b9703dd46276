"""Frozen schemas of recipes and options. No torch here."""
