"""Other packages' components under a prefix, wherever those packages are installed.

``normbench.plugins`` loads each bridge as a plugin; without its package a bridge offers nothing.
Nothing is imported to list what there is: names and parameters are read from the packages' source
text.
"""
