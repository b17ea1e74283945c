"""`python -m emotion_stream` is the `emotion` command."""

import sys

from emotion_stream.emotion.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
