"""What a run shows a person: one self-contained HTML file of texts, tables, images and curves."""

from medgenesis.report.document import Report
from medgenesis.report.label_overlay import display_range, overlay
from medgenesis.report.metrics import read_curves
from medgenesis.report.planes import flat_image, three_planes
from medgenesis.report.run_report import write_run_report
from medgenesis.report.text import markdown_table, text_table

__all__ = [
    "Report",
    "display_range",
    "flat_image",
    "markdown_table",
    "overlay",
    "read_curves",
    "text_table",
    "three_planes",
    "write_run_report",
]
