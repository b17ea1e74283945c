"""Tests, in the rooms of what they test; `pytest tests/sink` runs those of one folder."""
