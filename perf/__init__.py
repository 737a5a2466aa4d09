"""Measurements of isoexec. `python -m perf floor`; see README.md."""
