"""masksynth: the smallest single forward pass that trains a family of tasks, proved, checked, and handed to PyTorch."""

__version__ = "0.1.0"
