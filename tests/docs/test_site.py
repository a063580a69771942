"""The pages hang together: links lead somewhere, every page is in the navigation, every public name in the reference.

`make docs` builds the site; what is checked here needs none of its tools.
"""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
MAX_IMAGE_BYTES = 300_000


@pytest.fixture(scope="module")
def hooks():
    """docs/site_hooks.py as a module."""
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(hooks):
    return {name: hooks.links_into_site(text, name) for name, text in {**PAGES, **hooks.generated_pages()}.items()}


def links_of(text):
    """The links of a page, without those inside code."""
    plain = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", plain) if not link.startswith(("http", "mailto"))]


def anchors_of(text):
    headings = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-").replace("--", "-") for heading in headings
    }


def test_links_lead_to_pages_and_headings(pages):
    missing = []
    for name, text in pages.items():
        for link in links_of(text):
            target, _, anchor = link.partition("#")
            path = (DOCS / name).parent.joinpath(target).resolve() if target else DOCS / name
            key = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else None
            known = key in pages or path.exists() or path.suffix == ".ipynb"
            if not known or (anchor and key in pages and anchor not in anchors_of(pages[key])):
                missing.append(f"{name}: {link}")
    assert not missing


def test_links_lead_to_files_where_the_pages_are_read_in_the_repository():
    missing = []
    for name, text in PAGES.items():
        targets = [link.partition("#")[0] for link in links_of(text)]
        missing += [f"{name}: {target}" for target in targets if not (DOCS / name).parent.joinpath(target).exists()]
    assert not missing


@pytest.mark.parametrize("path", ["README.md", "examples/README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_repository_lead_to_files(path):
    text = (ROOT / path).read_text()
    missing = [link for link in links_of(text) if not (ROOT / path).parent.joinpath(link.partition("#")[0]).exists()]
    assert not missing


def test_every_page_is_in_the_navigation():
    def named(entries):
        for entry in entries:
            for target in [entry] if isinstance(entry, str) else entry.values():
                yield from [target] if isinstance(target, str) else named(target)

    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    found = set(named(config["nav"]))
    assert set(PAGES) - {"bundles/index.md"} <= found
    generated = {"reference/", "examples/", "bundles/", "contributing.md", "changelog.md", "evidence-protocol.md"}
    assert found <= {*PAGES, *generated}


def test_every_public_name_is_in_the_reference(hooks):
    pages, seen = hooks.reference_pages(), hooks.public_names()
    assert len(seen) > 10
    for module, names in seen.items():
        assert set(getattr(importlib.import_module(module), "__all__", names)) == set(names)
        assert all(f"::: {module}.{name}\n" in pages[f"reference/{module}.md"] + "\n" for name in names)


def test_every_bundle_and_example_has_a_page(hooks):
    pages = hooks.generated_pages()
    names = {path.parent.parent.name for path in (ROOT / "bundles").glob("*/docs/README.md")}
    assert names and all(f"bundles/{name}.md" in pages and f"({name}.md)" in hooks.bundle_table() for name in names)
    families = [name for name in pages if name.startswith("bundles/tasks-")]
    assert families == ["bundles/tasks-slabs.md", "bundles/tasks-volumes.md"]
    for name, text in hooks.bundle_pages().items():
        linked = {Path(name).with_name(link.partition("#")[0]).as_posix() for link in links_of(text)}
        wanted = {True: "bundles/tasks-volumes.md", False: "bundles/tasks-slabs.md"}[name.endswith("_ct.md")]
        assert {wanted} == linked or "transfer_encoders" in name
    examples = [path.stem for path in (ROOT / "examples").glob("*.py")]
    assert examples and all(f"({name}.md)" in pages["examples/index.md"] for name in examples)
    for name in examples:
        assert not re.search(r"^# %%", pages[f"examples/{name}.md"], flags=re.MULTILINE)


def test_images_are_small_and_used(pages):
    shown = {
        (DOCS / name).parent.joinpath(link).resolve()
        for name, text in pages.items()
        for link in links_of(text)
        if link.endswith(".png")
    }
    drawn = {path.resolve() for path in DOCS.rglob("*.png")}
    assert drawn == shown and all(path.stat().st_size < MAX_IMAGE_BYTES for path in drawn)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == importlib.import_module("medgenesis").__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_python_of_the_readme_runs():
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert all(weight.grad is not None for weight in names["method"].parameters())
