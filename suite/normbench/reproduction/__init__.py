"""Reproduction reports: what a store has of a suite, beside what its source published."""
