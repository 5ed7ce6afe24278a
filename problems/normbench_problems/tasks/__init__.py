"""Tasks other than classification: each makes a loss and metric sums of a network and a batch."""
