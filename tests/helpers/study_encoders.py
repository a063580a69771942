"""The overlays of the bundle `transfer_encoders` that are encoders."""

from medgenesis import bundles

CONFIGS = bundles.path("transfer_encoders") / "configs"
ENCODERS = {
    path.stem: text
    for path in sorted(CONFIGS.glob("*.yaml"))
    if (text := path.read_text()).startswith("# Overlay: the encoder ")
}
