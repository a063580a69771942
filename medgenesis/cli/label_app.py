"""Serve a bundle to 3D Slicer and OHIF (MONAI Label): open a study, draw, save, train; the next one comes segmented.

Your folder of studies is only read. Labels, models and what was converted lie in the folder --app, and the same command
goes on there. Research; not for diagnosis.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medgenesis.cli.configs import BundleFolder

HELP = "serve a bundle to 3D Slicer and OHIF (MONAI Label)"
EXAMPLE = "medgenesis label-app models_genesis_ct --studies my_ct --labels lungs liver"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="its name, or the folder of a copy")
    parser.add_argument("--studies", metavar="DIR", help="folder of the scans, or address of a DICOMweb server")
    parser.add_argument("--labels", nargs="+", metavar="NAME", help="what is segmented (default: as the bundle says)")
    parser.add_argument("--app", metavar="DIR", help="folder for labels and models (default: label_app/BUNDLE)")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="to begin with; a name of `medgenesis weights list`, or scratch (default: models/pretrained.pt)",
    )
    parser.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: quick, …")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="a setting of finetune.yaml")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: this computer alone)")
    parser.add_argument("--port", type=int, default=8000, help="default 8000")
    parser.add_argument("--demo", action="store_true", help="computed scans, to see the loop; no --studies needed")
    parser.add_argument("--prepare-only", action="store_true", help="write the app's folder, start no server")


def run(args: argparse.Namespace) -> str | None:
    """Prepare the app's folder, and serve."""
    from medgenesis.cli.configs import find_bundle
    from medgenesis.label_app import serve
    from medgenesis.label_app.app_folder import served_alone
    from medgenesis.label_app.start import check_installed, check_port

    if not args.demo and args.studies is None:
        raise ValueError("--studies: must be named; found none. Give a folder of scans, or try --demo.")
    bundle = find_bundle(args.bundle)
    app = Path(args.app or Path("label_app") / bundle.name).absolute()
    if args.prepare_only:
        with served_alone(app):
            _prepare(args, bundle, app)
        return str(app)
    check_installed()
    check_port(args.host, args.port)
    with served_alone(app):
        serve(app, _prepare(args, bundle, app), args.host, args.port)
    return None


def _prepare(args: argparse.Namespace, bundle: "BundleFolder", app: Path) -> str | Path:
    """Bring the app's folder up to date; where the server finds the studies."""
    from medgenesis import bundles
    from medgenesis.cli.configs import parsed_settings
    from medgenesis.label_app import prepare
    from medgenesis.label_app.config_parts import check_training
    from medgenesis.label_app.demo import make_demo_studies
    from medgenesis.label_app.studies import check_dimension, gather_studies, is_address

    configs = bundle.files("finetune", args.overlay)
    models = bundle.results / "models"
    weights = args.weights
    if args.demo and args.studies is None and weights is None and not (models / "pretrained.pt").is_file():
        weights = bundles.weights_or_demo(bundle.path, "pretrained.pt")  # of computed scans, as those of the demo
    earlier = models / "model.pt"
    made = prepare(
        app,
        bundle.path,
        args.labels,
        name=bundle.name,
        weights=weights,
        results=bundle.results,
        model=earlier if earlier.is_file() else None,
        overlays=args.overlay,
        settings=parsed_settings(args.set, configs),
    )
    check_training(made)
    if is_address(args.studies) and made.dimension == 2:
        raise ValueError(
            f"--studies: must be a folder for radiographs and single slices; found the address {args.studies}. Export "
            "them, or show volumes by --overlay slabs."
        )
    studies = make_demo_studies(app / "demo") if args.demo and args.studies is None else args.studies
    if is_address(studies):
        return studies
    names = gather_studies(studies, app / "studies")
    check_dimension(app / "studies", names, made.dimension)
    logger.info("%d studies; labels go to %s", len(names), app / "studies" / "labels" / "final")
    return app / "studies"
