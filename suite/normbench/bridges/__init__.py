"""Ways to and from other projects' formats."""
