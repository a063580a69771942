"""What importing medgenesis costs beside importing MONAI: python benchmarks/import_time.py

Each of five fresh interpreters imports MONAI, then medgenesis, then all its sub-packages, and reads the clock in
between; so the additions are measured against the same import of MONAI. The target is below 0.2 s for
`import medgenesis`.
"""

import statistics

from own_process import in_new_interpreter

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


def main() -> None:
    runs = [in_new_interpreter(IMPORTS) for _ in range(REPEATS)]
    print(f"median of {REPEATS}; added and ratio are to monai in the same interpreter")
    print(f"{'imported':40}{'s':>8}{'added s':>10}{'ratio':>8}")
    for row, name in enumerate(ROWS):
        total = statistics.median(run[row] for run in runs)
        added = statistics.median(run[row] - run[0] for run in runs)
        ratio = statistics.median(run[row] / run[0] for run in runs)
        print(f"{name:40}{total:8.2f}{added:10.4f}{ratio:8.3f}")


if __name__ == "__main__":
    main()
