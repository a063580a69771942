"""A bundle's config as several gloo processes run it."""

import os
import sys


def torchrun(processes, files, settings, *more):
    """The command, `more` words before the files."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    given = {"config_file": [str(file) for file in files], **settings}
    typed = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    return [*start, "-m", "monai.bundle", "run", *more, *typed]


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore", **more}
