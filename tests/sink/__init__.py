"""Tests of `sink/`."""
