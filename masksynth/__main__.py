"""``python -m masksynth``."""

from masksynth.cli import main

if __name__ == "__main__":
    main()
