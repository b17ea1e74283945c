"""Tests of `detector_worker/`."""
