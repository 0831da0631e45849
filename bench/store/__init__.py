"""Where outcomes are kept: a journal of immutable parts is the truth, DuckDB its query form, snapshots for readers."""
