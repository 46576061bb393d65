"""Reports: a mask, its Hasse diagram and the results of ``solve`` or ``audit`` as one HTML file that needs no network.

Call ``write_report``. The page is drawn by D3, which is kept in ``vendor`` with its licence and written into the file;
texts of an instance reach the page as JSON and are shown as text, never as markup, address or code.
"""

from masksynth.report.page import check_report_file, report_html, write_report

__all__ = ["check_report_file", "report_html", "write_report"]
