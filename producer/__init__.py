"""The producer: reads cameras, URLs, video files and image folders, and appends their frames as JPEG to a stream."""
