"""Tests of `emotion/commands/`."""
