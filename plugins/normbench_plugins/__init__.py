"""Built-in norms and optimizers, offered to normbench through its public hooks."""
