"""Pictures of masks: Hasse diagrams, token-exact tables, blocks, differences and flows, as text, SVG, PNG and PDF."""

from masksynth.draw.pictures import FORMATS, WHAT, draw, format_of, write_picture

__all__ = ["FORMATS", "WHAT", "draw", "format_of", "write_picture"]
