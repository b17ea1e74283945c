"""Tests of `sink/window/` and of what it draws."""
