"""The commands on the pages are understood: arguments, tasks, overlays and settings are those that there are."""

import contextlib
import re
import shlex
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml

from medgenesis import bundles
from medgenesis.cli import COMMANDS, build_parser, main
from medgenesis.cli.configs import checked_id, merged_settings
from medgenesis.cli.configs.folder import packaged_bundle
from medgenesis.cli.configs.values import checked_value
from medgenesis.weights import with_settings

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = sorted(bundles.names())
STARTS = ("--init", "--weights", "--settings_from", "--after")
COPIES = ("my_model", "my_slabs", "my_fold", "my_swin", "my_openmind")


def commands_of(path):
    """The command lines in a page's blocks for a shell, as words, with the bundle that `my_model` is a copy of."""
    bundle, found = "models_genesis_ct", []
    for block in re.findall(r"^```bash\n(.*?)^```$", path.read_text(), flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["medgenesis", "bundle"]:
                bundle = words[2]
            found.append((bundle, words[1:] if words[:1] == ["exec"] else words))
    return found


def tables_of(path):
    """Commands in a page's tables, and the settings that its tables of settings list, each with its bundle."""
    bundle, commands, settings = "models_genesis_ct", [], []
    for section in re.split("^## ", path.read_text(), flags=re.MULTILINE):
        bundle = (re.findall(r"^medgenesis bundle (\w+) my_model", section, re.MULTILINE) or [bundle])[0]
        for head, rows in re.findall(r"^\| (.*) \|\n\|[-|]+\|\n((?:\|.*\n)*)", section, re.MULTILINE):
            spans = re.findall(r"`(medgenesis [^`]+ --[^`]+|medgenesis run [^`]+)`", rows)
            commands += [(bundle, shlex.split(span)) for span in spans]
            firsts = [row.split(" | ")[0] for row in rows.splitlines()] if head.startswith("setting |") else []
            settings += [(bundle, span) for first in firsts for span in re.findall("`([^`]+)`", first)]
    return commands, settings


TABLES = {path: tables_of(path) for path in FILES}
LINES = [
    pytest.param(bundle, words, id=f"{path.stem}-{' '.join(words)[:60]}")
    for path in FILES
    for bundle, words in [*commands_of(path), *TABLES[path][0]]
    if words[:1] == ["medgenesis"] or {"monai.bundle", "run"} <= {*words}  # its other commands have no settings of ours
]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A copy of each bundle, with the overlays that pages write into theirs."""
    folder = tmp_path_factory.mktemp("copies")
    found = {name: bundles.copy(name, folder / name) for name in NAMES}
    for path in FILES:
        for overlay, text in re.findall(
            r"^```yaml\n# my_\w+/configs/(\w+\.yaml)\n(.*?)^```$", path.read_text(), re.M | re.S
        ):
            for copy in found.values():
                (copy / "configs" / overlay).write_text(text)
    return found


@pytest.mark.parametrize(
    "path", [path for path in FILES if "```yaml\n# my_" in path.read_text()], ids=lambda path: path.stem
)
def test_a_file_is_written_into_a_copy_that_is_there(path):
    """The line that makes the copy, which refuses a folder that is not empty, comes before the file's text."""
    text = path.read_text()
    for written in re.finditer(r"^```yaml\n# (my_\w+)/configs/", text, re.MULTILINE):
        made = re.search(rf"^medgenesis (bundle \w+|nnunet plan2bundle .*) {written[1]}$", text, re.MULTILINE)
        assert made is None or made.start() < written.start()


def test_the_pages_hold_commands():
    used = {param.values[1][1] for param in LINES if param.values[1][0] == "medgenesis"}
    assert {"datalist", "bundle", "run", "compare", "mine", "phantom"} <= used <= set(COMMANDS) and len(LINES) > 30


@pytest.mark.parametrize("bundle, words", LINES)
def test_the_command_is_understood(bundle, words, copies, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "monai.bundle" in words:
        options = [word.removeprefix("--") for word in words[words.index("monai.bundle") :] if word.startswith("--")]
        names = re.findall(r"configs/(\w+)\.yaml", " ".join(words))
        known = {key for name in names for key in yaml.safe_load((copies[bundle] / f"configs/{name}.yaml").read_text())}
        assert names and set(options) - {"config_file", "workflow_name", "datalist"} <= known
    elif words[1] == "run" and words[-1] != "--help":
        ours = [str(copies[bundle]) if word in COPIES else word for word in words[1:]]
        write_weights(after for option, after in pairwise(words) if option in STARTS)
        assert main([*ours, "--dry-run"]) == 0, capsys.readouterr().err
        assert "monai.bundle" in capsys.readouterr().out
    elif words[1] not in ("run", "--version"):
        build_parser().parse_args(words[1:])


def write_weights(names):
    """Files of these names, as the commands before this one, or a download, leave them."""
    for name in names:
        if name.endswith((".pt", ".pth", ".h5", ".tar", "FILE")):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            torch.save(with_settings({"w": torch.zeros(1)}, {}), name)


def test_a_model_that_a_command_takes_is_fine_tuned_before_it():
    """`models/model.pt` of a bundle's copy: by a command above it on the page."""
    model, taken = "/models/model.pt", 0
    for path in FILES:
        tuned = set()
        for bundle, words in commands_of(path):
            if words[:2] == ["medgenesis", "run"]:
                starts = [after for option, after in pairwise(words) if option in STARTS and after.endswith(model)]
                assert {(bundle, one.removesuffix(model)) for one in starts} <= tuned, (path.name, words)
                taken += len(starts)
                tuned |= {(bundle, words[2])} if words[3:4] == ["finetune"] else set()
    assert taken


@pytest.mark.parametrize(
    "bundle, span",
    [pytest.param(*one, id=f"{path.stem}-{one[1]}") for path in FILES for one in TABLES[path][1]],
)
def test_a_setting_in_a_table_is_known(bundle, span):
    """`TASK --id value`, `--id`, or the id alone: of that task or any, with one of its overlays."""
    words = shlex.split(span)
    task = words.pop(0) if words[0] in packaged_bundle(bundle).tasks() else None
    id, *value = words[0].removeprefix("--"), *words[1:]
    assert any(known(id, settings) for name, settings in tasks_of(bundle) if task in (None, name))
    assert not value or checked_value(id, " ".join(value))


# of other commands that these pages type: MONAI's, torchrun's, those of medgenesis, a benchmark's
OTHERS = {
    *("config_file", "meta_file", "ckpt_file", "filepath", "converter_kwargs", "standalone", "nproc_per_node", "batch"),
    *("images", "labels", "classes", "chestxray14", "out", "subjects", "bundle", "as", "bundle_path"),
}


@pytest.mark.parametrize("name", NAMES)
def test_settings_on_the_page_of_a_bundle_are_of_its_configs(name):
    """Every `--id` of its docs/*.md is known to one of the bundle's tasks, with one of its overlays."""
    page = "\n".join(path.read_text() for path in (packaged_bundle(name).path / "docs").glob("*.md"))
    left = {*re.findall(r"(?<![\w-])--(\w[\w#]*)(?![\w#-])", page)} - OTHERS  # ids have no hyphen
    assert not [id for id in left if not any(known(id, settings) for _, settings in tasks_of(name))]


@lru_cache
def tasks_of(name):
    """Each task of a bundle, as it is and with each overlay that is for it, and its settings."""
    folder, found = packaged_bundle(name), []
    for overlays in ([], *([overlay] for overlay in folder.overlays())):
        for task in folder.tasks():
            with contextlib.suppress(ValueError):  # the overlay is for another task
                found.append((task, merged_settings(folder.files(task, overlays))))
    return found


def known(id, settings):
    try:
        return bool(checked_id(id, settings, ["tracking"]))
    except ValueError:
        return False
