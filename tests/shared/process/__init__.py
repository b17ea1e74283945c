"""Tests of `shared/process/`."""
