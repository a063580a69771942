"""For `make test-label` alone: the CUDA build of torchvision beside a CPU build of torch (pytorch/vision#9085).

PyPI has torchvision for CUDA only; its compiled part does not load there, and its Python part then registers kernels
for operators that nobody has declared. They are declared before it is imported, in every process of the environment
(training is one). A user installs the pair that fits, from PyTorch's own index, and needs nothing of this.

    python torchvision_beside_cpu_torch.py install      into the environment of that python
"""

import sys
import sysconfig
from pathlib import Path

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declare:
    """A finder that declares the operators when torchvision is about to be imported, and finds nothing itself."""

    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and Declare.library is None:
            import torch

            Declare.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                Declare.library.define(f"{operator}{_BOXES}")


def install():
    """Put this file, and a line that runs it, where every process of this environment starts with it."""
    packages = Path(sysconfig.get_paths()["purelib"])
    (packages / "_torchvision_beside_cpu_torch.py").write_text(Path(__file__).read_text())
    (packages / "torchvision_beside_cpu_torch.pth").write_text(
        "import _torchvision_beside_cpu_torch as one; one.start()\n"
    )


def start():
    sys.meta_path.insert(0, Declare())


if __name__ == "__main__" and sys.argv[1:] == ["install"]:
    install()
