"""The README.md of a copied bundle: its docs/README.md under the header that Hugging Face reads."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medgenesis.storage.atomic import write_text

_OWN = "apache-2.0"  # of code, configurations and the weights of the phantom


def write_model_card(bundle: str | Path, origins: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Write `README.md` into a bundle's folder, so that the folder can be uploaded as it is, and return its path.

    MONAI's `push_to_hf_hub` writes one of its own in its place, with fewer tags and the licence of the file LICENSE.

    Args:
        bundle: folder with `configs/metadata.json` and `docs/README.md`.
        origins: of its weights that began with others: file -> title, terms and address of these
            (`medgenesis.weights.origin`). Their terms are the licence of the card, for derived weights keep them.
    """
    folder = Path(bundle)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    image = metadata["network_data_format"]["inputs"]["image"]
    header = {
        **_licence(list((origins or {}).values())),
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": ["monai", "medical", "self-supervised-learning", image["modality"].lower(), "research-only"],
    }
    text = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?=[\w-]+\.md[#)])", "](docs/", text)  # links to the pages beside it
    path = folder / "README.md"
    write_text(path, f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}{_terms(origins or {})}")
    return path


def _licence(origins: list[Mapping[str, Any]]) -> dict[str, str]:
    """As Hugging Face names it: `other`, with a name and an address, where weights are under terms of their own."""
    others = [one for one in origins if not str(one.get("terms")).casefold().startswith(_OWN)]
    if not others:
        return {"license": _OWN}
    names = dict.fromkeys(str(one.get("name") or "unknown") for one in others)
    link = next((str(one["address"]) for one in others if one.get("address")), "README.md")
    return {"license": "other", "license_name": f"terms-of-{'-and-'.join(names)}", "license_link": link}


def _terms(origins: Mapping[str, Mapping[str, Any]]) -> str:
    if not origins:
        return ""
    rows = [f"* `models/{file}`: {one.get('title')}; {one.get('terms')}." for file, one in origins.items()]
    return "\n".join(
        ["", "## Terms of the weights", "", "Weights keep the terms of those that they began with.", "", *rows, ""]
    )
