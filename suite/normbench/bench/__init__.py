"""Speed of the engine against a plain loop, as ratios measured in one process."""
