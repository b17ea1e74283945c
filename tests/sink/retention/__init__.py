"""Tests of `sink/retention/`."""
