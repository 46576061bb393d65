"""Report: a mask, its order and what was found, as one HTML file that needs no network.

``write_report`` is all that callers need. The page is drawn by D3, which stands in ``vendor`` with its licence and is
written into the file; texts of an instance reach it as JSON and are shown as text, never as markup, address or code.
"""

from masksynth.report.page import check_place, report_html, write_report

__all__ = ["check_place", "report_html", "write_report"]
