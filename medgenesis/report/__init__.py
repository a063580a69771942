"""What a run shows a person: one self-contained HTML file of texts, tables, images and curves."""

from medgenesis.report.document import Report
from medgenesis.report.label_overlay import overlay
from medgenesis.report.metrics import read_curves
from medgenesis.report.planes import three_planes

__all__ = ["Report", "overlay", "read_curves", "three_planes"]
