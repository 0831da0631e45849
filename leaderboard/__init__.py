"""Reads the published snapshot of a store and draws it."""

from pathlib import Path

PAGE = Path(__file__).parent / "app.py"  # what Streamlit runs
