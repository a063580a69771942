"""A scan with its label map that a reader scrolls through, within the page: NiiVue, offline."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from importlib import resources

import nibabel as nib
import numpy as np

from medgenesis.errors import VolumeError
from medgenesis.report.label_overlay import PALETTE
from medgenesis.report.text import escape

MOST_VOXELS = 2_000_000  # of a scan in a page: about 1.5 MB; a larger one is thinned out by whole steps
SOURCES = "script-src 'unsafe-inline' blob:; connect-src data: blob:; img-src data: blob:; worker-src blob:"
_HEIGHT = 420  # pixels on the screen

# What the browser does: unpack NiiVue and the volumes, then show them; radiological, the patient's right at the left.
_SHOW = """
const unpacked = async id => {
  const text = document.getElementById(id).textContent.trim();
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
};
(async () => {
  const code = new Blob([await unpacked("niivue")], {type: "text/javascript"});
  await new Promise((done, failed) => {
    const script = document.createElement("script");
    script.onload = done; script.onerror = failed; script.src = URL.createObjectURL(code);
    document.head.append(script);
  });
  for (const canvas of document.querySelectorAll("canvas.viewer")) {
    const shown = JSON.parse(canvas.dataset.shown);
    const view = new niivue.Niivue({isRadiologicalConvention: true, show3Dcrosshair: true, logLevel: "error",
      backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.5], crosshairWidth: 0.5,
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER});
    await view.attachToCanvas(canvas);
    for (const one of shown.volumes) {
      const volume = await niivue.NVImage.loadFromBase64({base64: document.getElementById(one.id).textContent.trim(),
        name: one.id + ".nii.gz", opacity: one.opacity, cal_min: one.low, cal_max: one.high, colormap: "gray"});
      if (one.labels) volume.setColormapLabel(one.labels);
      view.addVolume(volume);
    }
    view.setSliceType(niivue.SLICE_TYPE.MULTIPLANAR);
    view.scene.crosshairPos = view.mm2frac(shown.at);
    view.updateGLVolume();
    canvas.dataset.ready = "yes";
  }
})().catch(error => {
  for (const canvas of document.querySelectorAll("canvas.viewer"))
    canvas.insertAdjacentText("afterend", "This browser cannot show scans (WebGL 2 is needed): " + error);
});
"""


def viewer_parts(
    number: int,
    volume: np.ndarray,
    affine: np.ndarray,
    labels: Mapping[str, np.ndarray],
    names: Sequence[str],
    caption: str,
) -> str:
    """The element of one scan; `viewer_script` stands once in the page.

    Args:
        number: of the viewer in the page.
        volume: (X, Y, Z) in [0, 1], on any grid, oblique ones too.
        affine: (4, 4), of its voxels, in RAS millimetres.
        labels: name -> (X, Y, Z) whole numbers on the same grid: what was found, a reference. The first is the fill.
        names: of the values from 1 on.
        caption: what is shown.

    Raises:
        VolumeError: not 3D, or a label map on another grid.
    """
    for name, label in labels.items():
        if np.shape(label) != np.shape(volume) or np.ndim(volume) != 3:
            raise VolumeError(
                f"{name}: must be (X, Y, Z) as its image; found {np.shape(label)} and {np.shape(volume)}. Show it on "
                "the grid of the image."
            )
    step = 1
    while np.prod([-(-side // step) for side in volume.shape]) > MOST_VOXELS:
        step += 1
    thin = (slice(None, None, step),) * 3
    scaled = np.asarray(affine, float) @ np.diag([step, step, step, 1.0])
    grey = np.rint(np.clip(np.asarray(volume)[thin], 0, 1) * 255).astype(np.uint8)
    shown = [{"id": f"volume{number}", "opacity": 1, "low": 0, "high": 255}]
    held = [_held(f"volume{number}", grey, scaled)]
    for index, label in enumerate(labels.values()):
        values = np.asarray(label)[thin].astype(np.uint8)
        colours = [(0, 0, 0), *(PALETTE[value % len(PALETTE)] for value in range(int(values.max(initial=0))))]
        table = {key: [int(one[axis]) for one in colours] for axis, key in enumerate("RGB")}
        table |= {"A": [0, *[255] * (len(colours) - 1)], "labels": ["", *names][: len(colours)]}
        id = f"volume{number}label{index}"
        shown.append({"id": id, "opacity": 0.5 if index == 0 else 0.25, "labels": table})
        held.append(_held(id, values, scaled))
    first = np.asarray(next(iter(labels.values()), np.zeros(volume.shape))).astype(int)
    counts = np.bincount(first[first > 0], minlength=1)
    where = np.argwhere(first == counts.argmax()) if counts.any() else np.array([np.array(volume.shape) // 2])
    middle = where[((where - where.mean(0)) ** 2).sum(1).argmin()]  # a voxel of the largest label
    at = (np.asarray(affine, float) @ [*middle, 1])[:3].tolist()
    data = escape(json.dumps({"volumes": shown, "at": at}))
    note = f" (one voxel in {step} of each axis)" if step > 1 else ""
    return (
        f'<figure>{"".join(held)}<div style="position:relative;width:100%;height:{_HEIGHT}px;overflow:hidden">'
        f'<canvas class="viewer" role="img" tabindex="0" aria-label="{escape(caption)}" data-shown="{data}"></canvas>'
        f"</div><figcaption>{escape(caption + note)}</figcaption></figure>"
    )


def viewer_script() -> str:
    """NiiVue, packed, and what starts it."""
    packed = resources.files("medgenesis.report").joinpath("niivue", "niivue.umd.js.gz").read_bytes()
    held = base64.b64encode(packed).decode()
    notice = "NiiVue, Copyright (c) 2021 Niivue, BSD 2-Clause License: https://github.com/niivue/niivue"
    return (
        f'<!-- {notice} -->\n<script type="text/plain" id="niivue">{held}</script>\n<script type="module">{_SHOW}'
        "</script>"
    )


def _held(id: str, values: np.ndarray, affine: np.ndarray) -> str:
    packed = gzip.compress(nib.Nifti1Image(values, affine).to_bytes(), mtime=0)
    return f'<script type="text/plain" id="{id}">{base64.b64encode(packed).decode()}</script>'
