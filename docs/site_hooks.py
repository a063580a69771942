"""Pages that MkDocs does not find in docs/ because another file of the repository is their source.

The API reference is made of the packages' `__all__`, the examples of `examples/*.py` (as a page and as a notebook),
the bundle pages of `bundles/*/docs/README.md`, with a page a family for what they link to; changelog and contributing
are the files at the top. Nothing of it is committed twice, so nothing can be out of date.
"""

import ast
import configparser
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PERCENT_CELL = re.compile(r"^# %%.*$", flags=re.MULTILINE)


def generated_pages() -> dict[str, str]:
    """Path below docs/ -> Markdown, of all pages that are made at build time."""
    return {**reference_pages(), **example_pages(), **bundle_pages(), **task_pages(), **project_pages()}


def on_config(config):
    """Put the generated pages into the navigation where it names their folder."""
    sections = {
        "reference/": ["reference/commands.md", *sorted(reference_pages())],
        "examples/": sorted(example_pages()),
        "bundles/": [*sorted(bundle_pages()), *sorted(task_pages())],
    }
    for entry in config["nav"]:
        for title, target in entry.items():
            if isinstance(target, str) and target in sections:
                pages = sections[target]
                index = f"{target}index.md"
                entry[title] = [index, *(page for page in pages if page != index)]
    return config


def on_files(files, config):
    """Add the generated pages, and the examples as notebooks to download."""
    from mkdocs.structure.files import File

    for path, text in {**generated_pages(), **command_page()}.items():
        files.append(File.generated(config, path, content=text))
    for path, text in notebooks().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links to files of the repository, which work where the pages are read there, to the pages made of them."""
    if page.file.src_uri == "bundles/index.md":
        markdown = markdown.replace("<!-- bundles -->", bundle_table())
    return links_into_site(markdown, page.file.src_uri)


def links_into_site(markdown: str, page: str) -> str:
    """The text of a page below docs/, its links to sources of generated pages replaced by links to these pages."""
    here = Path("docs", page).parent

    def replaced(match: re.Match) -> str:
        source = posixpath.normpath(posixpath.join(here.as_posix(), match[1]))
        target = _page_of(source)
        return match[0] if target is None else f"]({posixpath.relpath(target, Path(page).parent.as_posix())}{match[2]}"

    return re.sub(r"\]\(((?:\.\./)+[\w./-]+)((?:#[\w-]*)?\))", replaced, markdown)


def _page_of(source: str) -> str | None:
    """The generated page of a file of the repository, or None."""
    fixed = {"examples/README.md": "examples/index.md", "CONTRIBUTING.md": "contributing.md"}
    fixed["CHANGELOG.md"] = "changelog.md"
    fixed["benchmarks/evidence/PROTOCOL.md"] = "evidence-protocol.md"
    parts = source.split("/")
    if parts[0] == "examples" and source.endswith(".py"):
        return source.removesuffix(".py") + ".md"
    if parts[0] == "bundles" and parts[2:] == ["docs", "README.md"]:
        return f"bundles/{parts[1]}.md"
    return fixed.get(source)


def public_names() -> dict[str, list[str]]:
    """Module -> the names of its `__all__`, of every package that setup.cfg installs and that has one."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = {}
    for package in setup["options"]["packages"].split():
        if package not in ("medgenesis", "medgenesis.cli"):
            found[package] = _names(_source(package))
    found["medgenesis.errors"] = _classes(ROOT / "medgenesis" / "errors.py")
    return {module: names for module, names in sorted(found.items()) if names}


def reference_pages() -> dict[str, str]:
    """A page a public package, and an index of them."""
    lines = ["# API reference", "", "Made of the docstrings. Names that are not listed here may change.", ""]
    lines += ["| package | what is in it |", "|---|---|"]
    pages = {}
    for module, names in public_names().items():
        summary = _docstring(_source(module)).split("\n")[0]
        lines.append(f"| [`{module}`]({module}.md) | {summary} |")
        body = [f"# `{module}`", "", _docstring(_source(module)), ""]
        body += [f"::: {module}.{name}\n" for name in names]
        pages[f"reference/{module}.md"] = "\n".join(body)
    return {"reference/index.md": "\n".join(lines) + "\n", **pages}


def command_page() -> dict[str, str]:
    """What `--help` says of each command."""
    text = ["# Command line", "", "`medgenesis COMMAND --help` shows this text.", ""]
    for name in _names(ROOT / "medgenesis" / "cli" / "__init__.py", "COMMANDS"):
        words = [sys.executable, "-m", "medgenesis", name, "--help"]
        settings = {"cwd": ROOT, "env": {**os.environ, "COLUMNS": "110"}, "capture_output": True, "text": True}
        text += [
            f"## medgenesis {name}",
            "",
            "```text",
            subprocess.run(words, check=True, **settings).stdout,
            "```",
            "",
        ]
    return {"reference/commands.md": "\n".join(text)}


def example_pages() -> dict[str, str]:
    """A page an example, text and code in turn, and an index of them."""
    index = [_source_text("examples/README.md"), "| example | |", "|---|---|"]
    pages = {}
    for path in _examples():
        title, cells = _cells(path)
        index.append(f"| [`{path.name}`]({path.stem}.md) | {title} |")
        text = [f"# {title}", "", f"`python examples/{path.name}`, or [as a notebook]({path.stem}.ipynb).", ""]
        text += [body if kind == "text" else f"```python\n{body}\n```" for kind, body in cells]
        pages[f"examples/{path.stem}.md"] = "\n\n".join(text) + "\n"
    return {"examples/index.md": "\n".join(index) + "\n", **pages}


def notebooks() -> dict[str, str]:
    """A notebook an example, without outputs."""
    import jupytext

    made = {}
    for path in _examples():
        notebook = jupytext.read(path, fmt="py:percent")
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made[f"examples/{path.stem}.ipynb"] = jupytext.writes(notebook, fmt="ipynb")
    return made


def bundle_pages() -> dict[str, str]:
    """The bundles' own pages, which link to that of their family."""
    return {f"bundles/{path.parts[-3]}.md": _with_family(path) for path in _bundles()}


def task_pages() -> dict[str, str]:
    """What is the same in the bundles of a family, which each has as docs/tasks.md."""
    pages = sorted((ROOT / "bundles").glob("_*/tasks.md"))
    return {_family_page(path): path.read_text(encoding="utf-8") for path in pages}


def _with_family(path: Path) -> str:
    family = path.with_name("tasks.md").resolve()
    return path.read_text(encoding="utf-8").replace("](tasks.md", f"]({Path(_family_page(family)).name}")


def _family_page(path: Path) -> str:
    return f"bundles/tasks{path.parent.name.replace('_', '-')}.md"


def bundle_table() -> str:
    """Name and title of each bundle."""
    titles = {page: text.partition("\n")[0].removeprefix("# ") for page, text in bundle_pages().items()}
    names = {page: Path(page).stem for page in titles}
    return "\n".join(
        ["| bundle | |", "|---|---|", *(f"| [`{names[p]}`]({names[p]}.md) | {t} |" for p, t in titles.items())]
    )


def project_pages() -> dict[str, str]:
    """The files elsewhere in the repository that are pages too."""
    return {
        "changelog.md": _source_text("CHANGELOG.md"),
        "contributing.md": _source_text("CONTRIBUTING.md"),
        "evidence-protocol.md": _source_text("benchmarks/evidence/PROTOCOL.md"),
    }


def _bundles() -> list[Path]:
    return sorted((ROOT / "bundles").glob("*/docs/README.md"))


def _examples() -> Iterator[Path]:
    return iter(sorted((ROOT / "examples").glob("*.py")))


def _cells(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """Title and cells ("text" or "code") of a script in the percent format."""
    cells = []
    text = path.read_text(encoding="utf-8")
    for marker, body in zip(PERCENT_CELL.findall(text), PERCENT_CELL.split(text)[1:], strict=True):
        body = body.strip("\n")
        if "[markdown]" in marker:
            cells.append(("text", re.sub("^# ?", "", body, flags=re.MULTILINE)))
        else:
            cells.append(("code", body))
    title, _, rest = cells[0][1].partition("\n")
    return title.removeprefix("# "), [("text", rest.strip()), *cells[1:]]


def _source(module: str) -> Path:
    """The file of a package or module; two folders at the top are packages of medgenesis."""
    parts = module.split(".")[1:]
    base = ROOT if parts[:1] in (["transforms"], ["bundles"]) else ROOT / "medgenesis"
    path = base.joinpath(*parts)
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def _source_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _names(path: Path, variable: str = "__all__") -> list[str]:
    """The names that a source file lists in a variable."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == variable for target in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _classes(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
