"""Tests of `emotion/`."""
