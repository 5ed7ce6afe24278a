"""Datasets with their official train and test parts."""
