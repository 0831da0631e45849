"""Published numbers as data, and what can be checked of them without the weights."""
