"""The training engine: a spec in, curve points and a result out; it knows nothing of the store."""
