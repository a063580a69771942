"""`python -m MODULE ARGUMENTS`, one command after the other, each in a fork of a process that has done the imports.

python module_runs.py TREE    TREE: the folder whose `medgenesis` the commands use

Each line of the standard input is a command in JSON, {"module", "arguments", "log"}; the answer is its exit status.
Random numbers are those of a new process, as long as no import draws any.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import sys
import traceback
from pathlib import Path

# What the commands import of other libraries and what takes seconds.
LIBRARIES = ("monai.bundle", "monai.engines", "monai.handlers", "nibabel", "sklearn", "torch.utils.tensorboard")


def import_everything(tree):
    """Import the libraries and every module of the tree.

    Raises:
        ImportError: `medgenesis` is found in another place.
    """
    sys.path[0] = tree  # in place of this file's folder
    import medgenesis

    if Path(medgenesis.__file__).resolve().parents[1] != Path(tree).resolve():
        raise ImportError(f"medgenesis: must be that of {tree}; found {medgenesis.__file__}.")
    for library in LIBRARIES:
        importlib.import_module(library)
    for module in pkgutil.walk_packages(medgenesis.__path__, "medgenesis."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of what is optional; a command that needs it says so
                importlib.import_module(module.name)


def run(module, arguments, log):
    """The exit status of `python -m`, whose output is appended to the file `log`."""
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    tree = sys.argv[1]
    os.environ.update(PYTHONPATH=tree, OMP_NUM_THREADS="1")  # before NumPy and PyTorch are imported
    import_everything(tree)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = run(**json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
