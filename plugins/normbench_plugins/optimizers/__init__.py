"""Optimizers, one a file; :mod:`normbench_plugins.optimizers.table` lists them."""
