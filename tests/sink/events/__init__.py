"""Tests of events, and of the ways to other software."""
