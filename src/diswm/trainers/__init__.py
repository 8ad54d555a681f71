"""The loops: they receive built objects and own the clock."""
