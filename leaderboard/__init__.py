"""Reads the published snapshot of a store and draws it."""
