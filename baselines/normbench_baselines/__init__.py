"""Protocols, known settings and published numbers: what others did, as data with sources."""
