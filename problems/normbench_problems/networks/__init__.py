"""Networks with numbered norm sites."""
