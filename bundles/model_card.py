"""The README.md of a copied bundle: its docs/README.md under the header that Hugging Face reads."""

import json
from pathlib import Path

import yaml

from medgenesis.storage.atomic import write_text


def write_model_card(bundle: str | Path) -> Path:
    """Write `README.md` into a bundle's folder, so that the folder can be uploaded as it is, and return its path.

    MONAI's `push_to_hf_hub` writes one of its own in its place, with fewer tags.

    Args:
        bundle: folder with `configs/metadata.json` and `docs/README.md`.
    """
    folder = Path(bundle)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    image = metadata["network_data_format"]["inputs"]["image"]
    header = {
        "license": "apache-2.0",
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": ["monai", "medical", "self-supervised-learning", image["modality"].lower(), "research-only"],
    }
    text = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    path = folder / "README.md"
    write_text(path, f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}")
    return path
