"""What importing medgenesis costs beside importing MONAI: python benchmarks/import_time.py

Each of five fresh interpreters imports MONAI, then medgenesis, then all its sub-packages, and reads the clock in
between; so the additions are measured against the same import of MONAI. The target is below 0.2 s for
`import medgenesis`.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 5
IMPORTS = """
import json, time
clock = [time.perf_counter()]
import monai
clock.append(time.perf_counter())
import medgenesis
clock.append(time.perf_counter())
for name in medgenesis.__all__:
    getattr(medgenesis, name)
clock.append(time.perf_counter())
print(json.dumps([moment - clock[0] for moment in clock[1:]]))
"""
ROWS = ("monai", "monai + medgenesis", "monai + medgenesis + all sub-packages")


def seconds() -> list[float]:
    """Seconds until each of the three rows is imported, in one fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    runs = [seconds() for _ in range(REPEATS)]
    print(f"median of {REPEATS}; added and ratio are to monai in the same interpreter")
    print(f"{'imported':40}{'s':>8}{'added s':>10}{'ratio':>8}")
    for row, name in enumerate(ROWS):
        total = statistics.median(run[row] for run in runs)
        added = statistics.median(run[row] - run[0] for run in runs)
        ratio = statistics.median(run[row] / run[0] for run in runs)
        print(f"{name:40}{total:8.2f}{added:10.4f}{ratio:8.3f}")


if __name__ == "__main__":
    main()
