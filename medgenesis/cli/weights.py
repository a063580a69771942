"""Published weights: which there are, what a file is, into a bundle, and ours out in a published layout.

`list` is the catalogue: where each file comes from, its terms (several forbid commercial use), what it expects.
`inspect` recognises a file and checks that it is whole. `import` fills the network of a bundle with it and writes
models/pretrained.pt, from which every task of the bundle starts, with its origin and terms in models/pretrained.json.
`export` writes weights of ours in a published layout, for the programs of that layout. `card` writes the terms of a
bundle's weights into its model card.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medgenesis.weights.bundle_import import Imported
    from medgenesis.weights.catalog import Published
    from medgenesis.weights.inspection import Inspected

HELP = "published weights: list, inspect, import into a bundle, export, terms"
EXAMPLE = "medgenesis weights import Genesis_Chest_CT.pt --bundle my_model"

logger = logging.getLogger(__name__)

_TENSORS_ONLY = (
    "read a pickle that holds foreign objects (BYOL's, a whole pickled network): tensors and arrays alone are built, "
    "everything else becomes an inert stand-in, so that no code of the file runs. What remains: a hostile file can "
    "waste memory and time, and what other objects meant is lost"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions", help="what to do")
    one = actions.add_parser("list", help="the catalogue", description="The catalogue, or all of one entry.")
    one.add_argument("name", nargs="?", metavar="NAME", help="of an entry: show all that is known of it")
    one = actions.add_parser("inspect", help="what a file is", description="Recognise a file; nothing is written.")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--tensors-only", action="store_true", help=_TENSORS_ONLY)
    one = actions.add_parser("import", help="a file into a bundle", description="Write models/NAME.pt and NAME.json.")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--bundle", required=True, metavar="BUNDLE", help="its name, or the folder of a copy")
    one.add_argument("--as", dest="name", default="pretrained", metavar="NAME", help="of the files (pretrained)")
    one.add_argument("--entry", metavar="NAME", help="of the catalogue, where keys alone do not tell; or other")
    one.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: slabs, …")
    one.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="a setting: slices=5, in_channels=4"
    )
    one.add_argument("--partial", action="store_true", help="take what fits, of whatever network, and say what not")
    one.add_argument("--tensors-only", action="store_true", help=_TENSORS_ONLY)
    one = actions.add_parser("export", help="ours in a published layout", description="Write a published layout.")
    one.add_argument("file", metavar="FILE", help="models/pretrained.pt, or last.pt of a run")
    one.add_argument("out", metavar="OUT", help="the file to write")
    one.add_argument("--layout", required=True, metavar="LAYOUT", help="models-genesis, semantic-genesis, caid-unet, …")
    one = actions.add_parser("card", help="terms into the model card", description="Write README.md of a bundle.")
    one.add_argument("bundle", metavar="BUNDLE", help="the folder of a copy, with weights in models/")
    for one in actions.choices.values():  # those of every command, also behind the action
        one.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS)
        one.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> str:
    """Do the action; return what is to be said."""
    actions = {"list": _list, "inspect": _inspect, "import": _import, "export": _export, "card": _card}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> str:
    from medgenesis.report import text_table
    from medgenesis.weights.catalog import CATALOG, published
    from medgenesis.weights.experiments import PREFIX, SAID, experiment_card, experiment_names

    if args.name is not None and args.name.startswith(PREFIX):
        return experiment_card(args.name)[1]
    if args.name is not None:
        entry = published(args.name)
        use = {True: "allowed", False: "not allowed", None: "not stated"}[entry.commercial]
        rows = [
            ("title", entry.title), ("network", entry.network), ("learnt from", entry.learnt_from),
            ("expects", entry.expects), ("terms", entry.terms), ("commercial use", use), ("address", entry.address),
            ("how to get it", entry.gated or "download the address"), ("files", ", ".join(entry.files)),
            ("layout", entry.layout), ("settings", ", ".join(f"{k}={v}" for k, v in entry.settings.items()) or "none"),
            ("checksums", ", ".join(entry.digests) or "unknown: note that of your file (weights inspect)"),
        ]  # fmt: skip
        return text_table(["", entry.name], rows)
    words = {True: "yes", False: "NO", None: "?"}
    rows = [(one.name, one.network, words[one.commercial], one.terms) for one in CATALOG]
    table = text_table(["name", "network", "commercial use", "terms"], rows, width=140)
    width = max(len(one.name) for one in CATALOG)
    addresses = [f"{one.name:<{width}}  {one.address}{f' ({one.gated})' if one.gated else ''}" for one in CATALOG]
    expected = [f"{one.name:<{width}}  {one.expects}" for one in CATALOG]
    own = [(name, *map(experiment_card(name)[0].__getitem__, ("network", "terms"))) for name in experiment_names()]
    ours = text_table(["with medgenesis, --init NAME", "network", "terms"], own, width=140)
    blocks = [table, "", ours, SAID, "", "where they are:", *addresses, "", "what input they expect:", *expected]
    return "\n".join([*blocks, "", "all of one: medgenesis weights list NAME"])


def _inspect(args: argparse.Namespace) -> str:
    from medgenesis.weights.inspection import inspect_weights

    return _described(inspect_weights(args.file, tensors_only=args.tensors_only))


def _described(found: "Inspected") -> str:
    from medgenesis.weights.origin import in_words

    layout = found.layout
    size = found.path.stat().st_size
    ours = f"from {in_words(found.origin)}" if found.origin else "of our own training"
    ours = ours if found.ours else f"of the keys of {found.network}, without settings: whose training is not told"
    told = bool(layout or found.network)
    lines = [
        f"{found.path}: {size / 1e6:.1f} MB, sha256 {found.digests['sha256']}",
        f"layout: {layout.name} [{layout.slug}], for {layout.network}" if layout else f"layout: of medgenesis, {ours}",
        f"weights: {len(found.weights)} tensors, {found.values / 1e6:.2f} million values, "
        + (
            f"{found.extent}{found.network and f' ({found.network})'}, and finite"
            if told
            else f"{f'{found.extent}, ' if found.lacking else ''}finite; compared with no network"
        ),
        f"{found.report}",
        f"known settings: {', '.join(f'{k}={v}' for k, v in found.settings.items()) or 'none'}",
    ]
    if found.told:
        lines.append(f"told by the file: {', '.join(f'{k}={v}' for k, v in found.told.items())}")
    if layout is not None:
        lines += [f"may be {one.in_words()}{_checked(one, found)}" for one in found.among] or [
            "not in the catalogue: terms not known"
        ]
    return "\n".join(lines)


def _checked(entry: "Published", found: "Inspected") -> str:
    """What a published checksum says."""
    if not entry.digests:
        return "; no checksum known"
    if entry.contradicted_by(found.digests):
        return "; ANOTHER CHECKSUM THAN THE PUBLISHED ONE: saved again, or another file"
    return "; the published checksum"


def _import(args: argparse.Namespace) -> str:
    from medgenesis.cli.configs import find_bundle, parsed_settings
    from medgenesis.weights.bundle_import import import_weights

    bundle = find_bundle(args.bundle)
    if Path(args.name).name != args.name or not args.name.strip(". "):
        raise ValueError(f"--as: must be the name of a file in models/; found {args.name!r}. Type it without folder.")
    configs = bundle.files("pretrain" if "pretrain" in bundle.tasks() else "embed", args.overlay)
    models = bundle.results / "models"
    given = {id: None if value == "$None" else value for id, value in parsed_settings(args.set, configs).items()}
    done = import_weights(
        args.file,
        configs,
        models,
        entry=args.entry,
        given=given,
        partial=args.partial,
        tensors_only=args.tensors_only,
        name=args.name,
    )
    return _said(done)


def _said(done: "Imported") -> str:
    from medgenesis.weights.origin import in_words
    from medgenesis.weights.report import percent

    report, origin = done.report, done.origin
    counts = (
        f"loaded {len(report.matched)} tensors, {percent(report.share)} of the network's values; dropped "
        f"{len(report.dropped)}; missing {len(report.missing)}; of another shape {len(report.mismatched)}; newly "
        f"initialised {len(report.fresh)}"
    )
    terms = f"terms: {in_words(origin)}" if origin else "of our own training, without terms of others"
    lines = [counts, str(report), terms]
    if origin:
        lines.append(f"expects: {origin.get('expects')}")
    settings = ", ".join(f"{name} {value}" for name, value in done.settings.items())
    return "\n".join([*lines, f"kept with the weights: {settings}", f"written: {done.weights}, {done.sidecar}"])


def _export(args: argparse.Namespace) -> str:
    from medgenesis.weights.export import export_weights

    exported = export_weights(Path(args.file), args.layout, Path(args.out))
    return f"{exported}\nwritten: {args.out}"


def _card(args: argparse.Namespace) -> str:
    from medgenesis.bundles.model_card import write_model_card
    from medgenesis.cli.configs import find_bundle
    from medgenesis.weights.origin import in_words
    from medgenesis.weights.terms import origins_in

    bundle = find_bundle(args.bundle)
    if bundle.packaged:
        raise ValueError(
            f"BUNDLE: must be the folder of a copy; found {args.bundle!r}. Copy it: medgenesis bundle NAME DIR."
        )
    origins = origins_in(bundle.path / "models")
    told = [f"models/{name}: {in_words(one) if one else 'of no published weights'}" for name, one in origins.items()]
    path = write_model_card(bundle.path, {name: one for name, one in origins.items() if one})
    return "\n".join([*(told or ["no weights in models/"]), f"written: {path}"])
