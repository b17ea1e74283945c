"""Tests of `sink/tracking/`."""
