"""The steps of mining: what each leaves in the folder, and what a folder of 0.1 looks like."""

from pathlib import Path

from medgenesis.storage.steps import Step

VARIANTS = ("bottleneck", "unet")
AUTOENCODER = "autoencoder/pretrained.pt"
STEPS = {
    # before the index: what the index is made from is among its settings, so other volumes make both invalid, while
    # another body threshold, which is the index's alone, leaves the auto-encoder valid
    "train_autoencoder": Step((AUTOENCODER,), ("autoencoder/last.pt",)),
    "index": Step(("index.json",)),
    "extract_features": Step(("features.npz",)),
    "discover": Step(("patterns.json",), ("patterns.partial.json",)),
    "report": Step(("similarity.json", "contact_sheet.png", "features.png")),
}
_STEPS_OF_0_1 = ("autoencoder", "features", "patterns", "images")


def refuse_0_1(record: Path) -> None:
    """Results of 0.1 cannot be compared with settings of now: it wrote other fingerprints (ValueError)."""
    if record.exists() and any(f'"{name}": {{' in record.read_text(encoding="utf-8") for name in _STEPS_OF_0_1):
        raise ValueError(
            f"folder: must be new, or of a run of this version; found {record.parent}, mined by medgenesis 0.1. Choose "
            f"another; with features={record.parent / AUTOENCODER} the auto-encoder is not trained again."
        )
