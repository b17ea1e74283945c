"""Tests of `shared/settings/`."""
