"""Latency, memory, size and the conditions they were measured under."""
