"""The style sheet of the report: light and dark, screen, phone and paper."""

STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --tint: #f4f6f8; --accent: #0b5c8a;
  --s0: #0072b2; --s1: #c74e00; --s2: #007a5a; --s3: #a6407c; --s4: #555b63; --s5: #8a6100; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #14171b; --ink: #e6e9ed; --soft: #a3acb7; --line: #363c44; --tint: #1d2127; --accent: #7cc4ee;
  --s0: #56b4e9; --s1: #ff9248; --s2: #2fc79c; --s3: #f0a3cf; --s4: #c3c9d0; --s5: #f0e442; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", Roboto,
  "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
header { border-bottom: 3px solid var(--accent); margin-bottom: 1.5rem; padding-bottom: .75rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; text-wrap: balance; overflow-wrap: anywhere; }
header p { color: var(--soft); margin: .4rem 0 0; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .75rem; break-after: avoid; }
p { margin: .75rem 0; max-width: 46rem; overflow-wrap: anywhere; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem;
  overflow-x: auto; font: .875rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
figure { margin: 1.25rem 0; max-width: 100%; break-inside: avoid; }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; }
figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; border-radius: 3px; image-rendering: pixelated; }
.gallery { display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: flex-end; margin: 1.25rem 0; }
.gallery figure { margin: 0; }
.gallery figcaption { width: 0; min-width: 100%; }
.scroll { overflow-x: auto; margin: 1.25rem 0; break-inside: avoid; }
table { border-collapse: collapse; font-size: .95rem; }
caption { padding-bottom: .4rem; }
th, td { padding: .35rem .5rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th + th, td, th + td { padding-left: .5rem; }
thead th { border-bottom: 2px solid var(--soft); }
tbody th { font-weight: 500; }
tbody th, td { overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.curves { max-width: 40rem; }
.chart { display: block; width: 100%; height: auto; font-size: 12px; }
.chart text { fill: var(--soft); }
.chart .x { text-anchor: middle; }
.chart .y { text-anchor: end; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; fill: none; }
.chart polyline, .swatch line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); }
.s3 { stroke: var(--s3); } .s4 { stroke: var(--s4); } .s5 { stroke: var(--s5); }
.chart circle { fill: var(--page); stroke-dasharray: none; stroke-width: 1.5; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0;
  font-size: .9rem; }
.swatch { width: 34px; height: 10px; margin-right: .4rem; }
@media (max-width: 32rem) {
  main { padding: 1.25rem .9rem 3rem; }
  h1 { font-size: 1.5rem; }
  .chart { font-size: 17px; } }
@media print { @page { margin: 15mm; } main { max-width: none; padding: 0; } .scroll { overflow: visible; }
  pre { white-space: pre-wrap; } }
""".strip()
