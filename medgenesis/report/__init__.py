"""What a run shows a person: one self-contained HTML file of texts, tables, images and curves."""

from medgenesis.report.document import Report
from medgenesis.report.image_file import save_image
from medgenesis.report.label_overlay import display_range, overlay
from medgenesis.report.metrics import read_curves
from medgenesis.report.planes import flat_image, three_planes
from medgenesis.report.run_report import write_run_report
from medgenesis.report.scatter import draw_feature_map
from medgenesis.report.text import markdown_table, text_table

__all__ = [
    "Report",
    "display_range",
    "draw_feature_map",
    "flat_image",
    "markdown_table",
    "overlay",
    "read_curves",
    "save_image",
    "text_table",
    "three_planes",
    "write_run_report",
]
