"""The bundle that a command names: one that comes with medgenesis, or a copy in a folder of one's own."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from medgenesis import bundles
from medgenesis.bundles.links import content, written_as_text
from medgenesis.bundles.shared import SETTINGS
from medgenesis.cli.configs.settings import LOADER, first_comment
from medgenesis.errors import nearest

_PACKAGE = Path(bundles.__file__).resolve().parent


@dataclass(frozen=True)
class BundleFolder:
    """A folder with `configs/`.

    Args:
        path: the folder, as it was named.
        packaged: it comes with medgenesis, so that nothing may be written into it.
    """

    path: Path
    packaged: bool

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.absolute().name

    @property
    def typed(self) -> str:
        """What a command line names it by, quoted where a shell needs it: its name, or the folder as it was given."""
        return self.name if self.packaged else shlex.quote(str(self.path))

    @property
    def results(self) -> Path:
        """Where its runs write: into the folder; those of a packaged bundle into one of its name below the current."""
        return Path.cwd() / self.name if self.packaged else self.path.absolute()

    def config(self, name: str) -> Path:
        """File of a task or an overlay."""
        return self.path / "configs" / f"{name}.yaml"

    def tasks(self) -> dict[str, str]:
        """Configs that run by themselves: name -> what it is for."""
        tasks: dict[str, str] = {}
        contents: dict[bytes, str] = {}
        for name in (name for name, is_task in self._kinds().items() if is_task):
            same = contents.setdefault(content(self.config(name)), name)
            tasks[name] = first_comment(self.config(name)) if same == name else f"The same as {same}."
        return tasks

    def overlays(self) -> dict[str, str]:
        """Configs that change settings of a task: name -> what it is for."""
        return {name: first_comment(self.config(name)) for name, is_task in self._kinds().items() if not is_task}

    def files(self, task: str, overlays: Sequence[str] = ()) -> list[Path]:
        """Config files of a task and its overlays, in the order in which they are merged.

        Raises:
            ValueError: the bundle has no such task or overlay.
        """
        _known("TASK", task, self.tasks(), self.overlays(), self.typed)
        for overlay in overlays:
            _known("OVERLAY", overlay, self.overlays(), self.tasks(), self.typed)
        files = [self.config(name) for name in (task, *overlays)]
        for file in files:
            if written_as_text(file) is not None:
                raise ValueError(
                    f"{file}: must be a config; found a link that git has written as text. Copy the bundle, which puts "
                    f"files in the place of links: medgenesis bundle {self.name} DIR."
                )
        return files

    def _kinds(self) -> dict[str, bool]:
        """Name -> whether it is a task: it has something to run, and says where the bundle is."""
        paths = sorted(path for path in (self.path / "configs").glob("*.yaml") if path.name != SETTINGS)
        return {path.stem: {"run", "bundle_root"} <= _keys(path) for path in paths}


def packaged_bundle(name: str) -> BundleFolder:
    """A bundle that comes with medgenesis."""
    return BundleFolder(_PACKAGE / name, packaged=True)


def find_bundle(named: str) -> BundleFolder:
    """The bundle of a name or a path; a folder of one's own goes before a bundle of the same name.

    Raises:
        ValueError: there is none.
    """
    if (Path(named) / "configs").is_dir():
        return BundleFolder(Path(named), packaged=_PACKAGE in Path(named).resolve().parents)
    if named in bundles.names():
        return packaged_bundle(named)
    raise ValueError(
        f"BUNDLE: must be one of {', '.join(bundles.names())}, or a folder with configs/; found {named!r}. "
        f"{nearest(named, bundles.names())}`medgenesis bundle NAME DIR` copies one."
    )


def _known(what: str, name: str, among: dict[str, str], others: dict[str, str], bundle: str) -> None:
    if name not in among:
        other = "an overlay, which is given behind a task" if what == "TASK" else "a task"
        kind = f", {other}" if name in others else ""
        raise ValueError(
            f"{what}: must be one of {', '.join(among)}; found {name!r}{kind}. {nearest(name, list(among))}"
            f"`medgenesis run {bundle} --help` says what each is for."
        )


def _keys(path: Path) -> set[str]:
    """The outermost keys of a file; none where it is no mapping (reading it as a config says what is wrong)."""
    try:
        root = yaml.compose(content(path), Loader=LOADER)
    except yaml.YAMLError:
        return set()
    return {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
