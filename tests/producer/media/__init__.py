"""Tests of video as FFmpeg reads it."""
