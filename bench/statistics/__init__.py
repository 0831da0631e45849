"""Intervals, paired comparisons, planned looks and verdicts on a Pareto frontier. Pure: numbers in, numbers out."""
