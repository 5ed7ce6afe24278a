"""An example plugin for normbench."""
