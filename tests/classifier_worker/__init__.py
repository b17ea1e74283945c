"""Tests of `classifier_worker/`."""
