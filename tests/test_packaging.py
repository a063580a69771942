"""What an installation holds, and that it works: installed or editable, from the repository root and from elsewhere.

Two folders at the top, `transforms` and `bundles`, are sub-packages of medgenesis by a mapping in setup.cfg and two
links. A sub-package or a config that setup.cfg forgets is missing only in installations, never in the checkout.
"""

import configparser
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import medgenesis
from medgenesis.datasets.phantom import write_phantoms

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"medgenesis": "medgenesis", "transforms": "medgenesis/transforms", "bundles": "medgenesis/bundles"}
GENERATED = {"bundles": ("models", "runs", "eval")}  # what running a bundle writes beside its configs
LINKED = ("medgenesis/transforms", "medgenesis/bundles")
LOOK = """
import importlib.metadata, json
import medgenesis.transforms, medgenesis.bundles
print(json.dumps({
    "medgenesis": medgenesis.__file__,
    "transforms": medgenesis.transforms.RandGenesis.__module__,
    "bundles": medgenesis.bundles.names(),
    "versions": [medgenesis.__version__, importlib.metadata.version("medgenesis")],
}))
"""


@dataclass(frozen=True)
class Installation:
    """A throw-away environment with medgenesis in it, and the copy of the tree that it was installed from."""

    kind: str
    tree: Path
    environment: Path

    @property
    def site_packages(self) -> Path:
        return next(self.environment.glob("lib/python*/site-packages"))

    def run(self, *command: str, cwd: Path) -> str:
        """Run a program of the environment; its output, or a failure that shows its complaint."""
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME")}
        program = self.environment / "bin" / command[0]
        done = subprocess.run([program, *command[1:]], cwd=cwd, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)} in {cwd}:\n{done.stdout}{done.stderr}"
        return done.stdout


def copy_of_tree(target: Path) -> Path:
    """What an installation is made from, links kept: building in the copy leaves the checkout clean."""
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", ".*", *GENERATED.get(folder, ()))
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def files_of(tree: Path) -> dict[str, Path]:
    """Installed name -> file, for all files of the three folders; links to folders are not followed."""
    found = {}
    for folder, name in FOLDERS.items():
        for here, _, files in os.walk(tree / folder):
            place = Path(name) / Path(here).relative_to(tree / folder)
            found |= {(place / file).as_posix(): Path(here) / file for file in files}
    return {name: path for name, path in found.items() if not path.is_dir()}


@pytest.fixture(scope="module", params=["plain", pytest.param("editable", marks=pytest.mark.slow)])
def installation(request, tmp_path_factory) -> Installation:
    """`pip install .` and `pip install -e .`, without a network: the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp(request.param)
    return install(request.param, copy_of_tree(folder / "tree"), folder / "environment")


def install(kind: str, tree: Path, environment: Path, what: str = ".") -> Installation:
    made = Installation(kind, tree, environment)
    venv.create(made.environment, symlinks=True)
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    (made.site_packages / "dependencies.pth").write_text("\n".join(dependencies))
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", "--no-compile", "-q")
    what = (what,) if kind == "plain" else ("-e", what)
    made.run("python", "-m", "pip", "--disable-pip-version-check", "install", *offline, *what, cwd=made.tree)
    return made


@pytest.fixture(scope="session", autouse=True)
def no_second_copies():
    """After all tests: nobody imported the folders by their bare names, which makes a second copy of every class."""
    yield
    bare = sorted({"transforms", "bundles"} & set(sys.modules))
    assert not bare, f"imported by a bare name during the tests: {bare}; write medgenesis.{bare[0]}"


def declared() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_setup_cfg_lists_every_folder_of_code():
    listed = declared()["options"]["packages"].split()
    sources = [Path(name) for name in files_of(ROOT) if name.endswith(".py")]
    assert set(listed) == {".".join(path.parent.parts) for path in sources}
    without_init = {path.parent for path in sources} - {path.parent for path in sources if path.name == "__init__.py"}
    assert not without_init, "folders of code without __init__.py"


@pytest.mark.parametrize("folder", ["transforms", "bundles"])
def test_the_folders_at_the_top_are_linked_into_the_package(folder):
    link = ROOT / "medgenesis" / folder
    assert link.is_symlink() and str(link.readlink()) == f"../{folder}"


def test_links_are_relative_and_stay_inside_the_repository():
    for link in (*filter(Path.is_symlink, (ROOT / "bundles").rglob("*")), *map(ROOT.joinpath, LINKED)):
        assert not link.readlink().is_absolute() and link.exists(), f"{link} -> {link.readlink()}"
        assert link.resolve().is_relative_to(ROOT.resolve())


def test_constraints_lie_within_the_promised_ranges():
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, filter(None, lines))}
    config = declared()
    extras = [text for name, text in config["options.extras_require"].items() if name != "label"]  # has its own pins
    wanted = [
        Requirement(line)
        for text in [config["options"]["install_requires"], *extras]
        for line in text.split("\n")
        if line
    ]
    for requirement in wanted:
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "==" and pin.version in requirement.specifier, f"{requirement}: pinned at {pin.version}"


@pytest.mark.parametrize("place", ["root", "elsewhere"])
def test_imports(installation, place, tmp_path):
    seen = json.loads(installation.run("python", "-c", LOOK, cwd=installation.tree if place == "root" else tmp_path))
    installed = installation.kind == "plain" and place == "elsewhere"
    expected = installation.site_packages if installed else installation.tree
    assert Path(seen["medgenesis"]).resolve() == (expected / "medgenesis" / "__init__.py").resolve()
    assert seen["transforms"] == "medgenesis.transforms.genesis"
    assert seen["bundles"] == sorted(path.parent.name for path in (ROOT / "bundles").glob("*/configs"))
    assert seen["versions"] == [medgenesis.__version__] * 2


@pytest.mark.parametrize("place", [pytest.param("root", marks=pytest.mark.slow), "elsewhere"])
def test_commands(installation, place, tmp_path):
    cwd = installation.tree if place == "root" else tmp_path
    for command in (("medgenesis", "--version"), ("python", "-m", "medgenesis", "--version")):
        assert installation.run(*command, cwd=cwd).strip() == f"medgenesis {medgenesis.__version__}"


@pytest.mark.parametrize("installation", ["plain"], indirect=True)
def test_an_installation_holds_every_file_once_and_nothing_else(installation):
    (record,) = installation.site_packages.glob("medgenesis-*.dist-info")
    names = [str(file) for file in importlib.metadata.PathDistribution(record).files]
    names = [name for name in names if ".dist-info/" not in name and "bin/" not in name]
    on_disk = {
        name: path for name, path in files_of(installation.tree).items() if not re.search("/bundles/_[a-z]", name)
    }
    assert set(names) == set(on_disk) and len(names) == len(on_disk)
    for name, source in on_disk.items():
        assert (installation.site_packages / name).read_bytes() == source.read_bytes(), name
        assert not (installation.site_packages / name).is_symlink()
    assert any(record.rglob("LICENSE"))


# links


def with_links_as_text(tree: Path) -> Path:
    """As git leaves a checkout where `core.symlinks` is false: in a link's place a file with the path in it."""
    for link in [path for path in tree.rglob("*") if path.is_symlink()]:
        target = str(link.readlink())
        link.unlink()
        link.write_text(target)
    return tree


def contents_of(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    assert {path.name for path in files.values() if path.is_symlink()} <= {"train.yaml"}
    return {name: path.read_bytes() for name, path in files.items() if "__pycache__" not in name}


@pytest.mark.slow  # a minute of installing
@pytest.mark.parametrize("kind", ["plain", "editable"])
def test_a_checkout_with_links_as_text_installs_and_its_bundles_run(kind, tmp_path):
    made = install(kind, with_links_as_text(copy_of_tree(tmp_path / "tree")), tmp_path / "environment")
    assert (made.tree / "medgenesis" / "bundles").read_text() == "../bundles"
    made.run("medgenesis", "bundle", "models_genesis_ct", "my bundles/models_genesis_ct", cwd=tmp_path)
    others = (
        "from medgenesis import bundles as b; [b.copy(n, f'my bundles/{n}') for n in b.names() if n[:7] != 'models_']"
    )
    made.run("python", "-c", others, cwd=tmp_path)
    for name in json.loads(made.run("python", "-c", LOOK, cwd=tmp_path))["bundles"]:
        source = ROOT / "bundles" / name
        wanted = {path.relative_to(source).as_posix() for path in source.rglob("*") if not path.is_dir()}
        found = contents_of(tmp_path / "my bundles" / name)
        kept = {path for path in wanted if path.split("/")[0] not in GENERATED["bundles"]}
        assert set(found) == {*kept, "README.md"}  # the model card is written
        assert all(found[path] == (source / path).read_bytes() for path in kept)
    tiny = {"width": 2, "cube_size": "[16,16,16]", "crop_criterion": "any", "patches_per_image": 2}
    tiny |= {"pretrain_epochs": 1, "batch_size": 2, "num_workers": 0, "device": "cpu"}
    tiny["datalist"] = str(write_phantoms(tmp_path / "phantoms", 2, seed=0, shape=(32, 32, 32), split=(0.5, 0.5, 0.0)))
    run = ["python", "-m", "monai.bundle", "run", "--config_file", "my bundles/models_genesis_ct/configs/pretrain.yaml"]
    made.run(*run, *(part for id, value in tiny.items() for part in (f"--{id}", str(value))), cwd=tmp_path)
    assert (tmp_path / "my bundles" / "models_genesis_ct" / "models" / "pretrained.pt").is_file()


@pytest.mark.parametrize("text", [False, True])
def test_the_archive_of_the_sources_holds_whole_files(text, tmp_path):
    tree = copy_of_tree(tmp_path / "tree")
    if text:
        with_links_as_text(tree)
    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path), "--formats", "gztar"]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        assert not any(member.issym() or member.islnk() for member in file.getmembers())
        names = {name.partition("/")[2]: name for name in file.getnames()}
        for path in (ROOT / "bundles").glob("*_*/configs/*.yaml"):
            name = path.relative_to(ROOT).as_posix()
            assert file.extractfile(names[name]).read() == path.read_bytes(), name
        assert "setup.py" in names and "bundles/links.py" in names
