"""What all questions of `medgenesis transfer` are given: encoders, data sets, and how images are shown."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any


def common(
    parser: argparse.ArgumentParser,
    compat: str | None = None,
    batch: tuple[int, str] | None = (32, "inputs at a time"),
    geometry: bool = True,
) -> None:
    """Declare the arguments of a question; one that it would not use is none of its own.

    Args:
        parser: of the question.
        compat: what --compat does; None: there is no such argument.
        batch: default of --batch-size, and what it counts; None: there is no such argument.
        geometry: whether --geometry decides how images are shown.
    """
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ENCODER", help="see above: one or several")
    parser.add_argument("--dataset", nargs="+", required=True, metavar="DATASET", help="see above: one or several")
    parser.add_argument(
        "--data-option", nargs="+", default=[], metavar="NAME=VALUE", help="of a data set by name: finding=Edema, …"
    )
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of the study")
    parser.add_argument("--intensity", metavar="PRESET", help="of images whose record says none: ct, xray, …")
    parser.add_argument("--size", type=int, nargs="+", metavar="N", help="sides of the input (default: the training's)")
    parser.add_argument(
        "--spacing", nargs="+", metavar="MM", help="of volumes: mm, or own for theirs (default: the training's)"
    )
    if geometry:
        shown = "default: crop; of volumes windows"
        parser.add_argument("--geometry", choices=("crop", "squash", "windows"), help=shown)
    if batch:
        counted = f"{batch[1]} (default {batch[0]})"
        parser.add_argument("--batch-size", type=int, default=batch[0], metavar="N", help=counted)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default cpu)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw (default 0)")
    parser.add_argument("--tensors-only", action="store_true", help="of a pickle with foreign objects (BYOL's)")
    if compat:
        parser.add_argument(
            "--reference-split", action="store_true", help="the study's own split, by image, of its data sets"
        )
        parser.add_argument("--compat", action="store_true", help=f"as the published study: {compat}")
    always(parser)


def always(parser: argparse.ArgumentParser) -> None:
    """What every command has, also behind the question."""
    parser.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS)


def opened(args: argparse.Namespace) -> list[Any]:
    """The encoders of the command line, each with its own name; with all of them open, what is asked is recorded.

    Raises:
        OutputError: the folder of the study cannot be written.
        ValueError: two of one name, or a number of sides that no input has.
    """
    from dataclasses import replace

    from medgenesis.cli.configs.asked import record_asked
    from medgenesis.transfer.geometry import Geometry
    from medgenesis.transfer.named_encoder import open_encoder

    if args.size and len(args.size) > 3:
        raise ValueError(f"--size: must be one to three sides; found {len(args.size)}. Write --size 64 64 32.")
    encoders = []
    for named in args.encoder:
        encoder = open_encoder(named, seed=args.seed, device=args.device, tensors_only=args.tensors_only)
        if args.size and encoder.dims:
            sides = tuple(args.size) * encoder.dims if len(args.size) == 1 else tuple(args.size)
            if len(sides) != encoder.dims:
                raise ValueError(
                    f"--size: must be one side, or {encoder.dims} for {encoder.name}; found {len(sides)}. Give one."
                )
            encoder = replace(encoder, size=sides)
        if args.spacing:
            encoder = replace(encoder, spacing_mm=_spacing(args.spacing))
        if getattr(args, "geometry", None) and encoder.dims:
            encoder = replace(encoder, geometry=Geometry(args.geometry))
        encoders.append(encoder)
    names = [encoder.name for encoder in encoders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--encoder: names must differ; found {twice!r} twice. Write LABEL=ENCODER.")
    record_asked(args.out, args)
    return encoders


def study_sets(args: argparse.Namespace, labelled: bool) -> Iterator[Any]:
    """The data sets of the command line, each with those of the options that it takes; few-shot of the published study
    counts CheXpert's uncertain marks as findings.

    Raises:
        ValueError: an option that none takes.
    """
    from medgenesis.transfer.named_data import options_of
    from medgenesis.transfer.study_set import open_study_set

    pairs = [text.partition("=")[::2] for text in args.data_option]
    taken = {named: options_of(named) for named in args.dataset}
    every = sorted({name for own in taken.values() for name in own})
    unknown = [f"{name}={value}" for name, value in pairs if not value or name not in every]
    if unknown:
        raise ValueError(
            "--data-option: must be NAME=VALUE, and one that these data sets take, "
            f"{', '.join(every) or 'none'}; found {unknown[0]!r}. Correct or leave it out."
        )
    published = {"uncertain": "ones"} if args.question == "few-shot" and args.compat else {}
    reference = getattr(args, "reference_split", False)
    read: dict[str, str] = {}  # name -> as it was asked for
    for named, own in taken.items():
        options = {name: value for name, value in {**published, **dict(pairs)}.items() if name in own}
        settings = {"seed": args.seed, "labelled": labelled, "reference": reference, "options": options}
        opened = open_study_set(named, args.out, **settings)
        if opened.name in read:
            raise ValueError(
                f"--dataset: names must differ; found {opened.name!r} of {read[opened.name]} and of {named}. Rename a "
                "folder, or give lists (.json) whose `name` differs."
            )
        read[opened.name] = named
        yield opened


def checked_sets(args: argparse.Namespace, labelled: bool, encoders: Sequence[Any]) -> list[Any]:
    """All `study_sets`, of which every encoder knows the intensities: what would fail after hours fails at once.

    Raises:
        ValueError: an option that none takes.
        VolumeError: images whose intensities nothing says.
    """
    from medgenesis.transfer.features import check_intensities

    found = list(study_sets(args, labelled))
    for study_set in found:
        check_intensities(encoders, study_set, args.intensity)
    return found


def _spacing(words: list[str]) -> list[float] | None:
    try:
        numbers = None if words == ["own"] else [float(word) for word in words]
    except ValueError:
        numbers = []
    if numbers is not None and (len(numbers) not in (1, 3) or min(numbers) <= 0):
        raise ValueError(
            f"--spacing: must be one or three numbers of mm, or own; found {words}. Write --spacing 1 1 3."
        )
    return numbers if numbers is None or len(numbers) == 3 else numbers * 3
