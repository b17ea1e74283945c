"""Tests of emotion/runner/."""
