"""Launchers get pending runs of a store trained; the store alone says how far they are."""
