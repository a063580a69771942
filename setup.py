"""What setup.cfg cannot express: wheel and sdist hold whole files where the checkout has links.

The bundles link to the files of their family. A link is written as the file that it leads to, also one that git has
checked out as text (`core.symlinks=false`, Windows).
"""

import importlib.util
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

_SPEC = importlib.util.spec_from_file_location("links", Path(__file__).parent / "bundles" / "links.py")
links = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(links)


def _write_whole(source: Path, target: Path) -> None:
    if source.is_symlink() or links.written_as_text(source) is not None:
        whole = links.content(source)
        target.unlink()  # it may itself be a link to the source
        target.write_bytes(whole)


class BuildWhole(build_py):
    def copy_file(self, infile, outfile, *args, **kwargs):
        done = super().copy_file(infile, outfile, *args, **kwargs)
        if Path(outfile).is_file():  # not where only said what would be done
            _write_whole(Path(infile), Path(outfile))
        return done


class SdistWhole(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for name in filter(lambda name: Path(name).is_file(), files):
            _write_whole(Path(name), Path(base_dir, name))


setup(cmdclass={"build_py": BuildWhole, "sdist": SdistWhole})
