"""nnU-Net: pre-train the network of its plans without labels, and hand the weights over, in both directions.

A training of nnU-Net v2 that starts from self-supervised weights: `plan2bundle` makes a bundle of nnU-Net's plans,
`datalist` lists its preprocessed arrays, `medgenesis run BUNDLE pretrain` learns, `export` writes what
`nnUNetv2_train -pretrained_weights` takes. `import` makes a bundle of a trained fold.
"""

import argparse
import logging
import re
import shlex
from pathlib import Path
from typing import Any

HELP = "pre-train the network of nnU-Net's plans; weights for nnU-Net and from it"
EXAMPLE = "medgenesis nnunet plan2bundle nnUNet_preprocessed/Dataset004_Hippocampus/nnUNetPlans.json --out hippocampus"

logger = logging.getLogger(__name__)

_BUNDLE = "models_genesis_ct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions", help="what to do")

    one = _action(actions, "plan2bundle", "a bundle that pre-trains the network of nnU-Net's plans")
    one.add_argument("plans", metavar="PLANS", help="nnUNet_preprocessed/DATASET/nnUNetPlans.json")
    _add_configuration(one)
    one.add_argument("--dataset-json", metavar="FILE", help="default: the dataset.json beside PLANS")
    _add_bundle(one)

    one = _action(actions, "datalist", "a list of nnU-Net's preprocessed arrays, for pre-training and fine-tuning")
    one.add_argument("folder", metavar="FOLDER", help="nnUNet_preprocessed/DATASET/nnUNetPlans_3d_fullres")
    one.add_argument("--fold", type=int, metavar="K", help="leave out what this fold validates on (splits_final.json)")
    one.add_argument("--seed", type=int, default=0, metavar="S", help="of the split (default 0)")
    one.add_argument("--out", required=True, metavar="LIST.json", help="the list to write")

    one = _action(actions, "export", "weights as a file for nnUNetv2_train -pretrained_weights")
    one.add_argument("checkpoint", metavar="CHECKPOINT", help="models/pretrained.pt of such a bundle")
    one.add_argument("--plans", metavar="PLANS", help="of the training they are for (default: those of the weights)")
    _add_configuration(one)
    one.add_argument("--out", required=True, metavar="OUT", help="the file to write")

    one = _action(actions, "import", "a bundle that starts from a trained fold of nnU-Net")
    one.add_argument("fold", metavar="FOLD", help="…/fold_0, or its checkpoint_final.pth")
    _add_bundle(one)


def run(args: argparse.Namespace) -> Any:
    """Do what the action says, and return what it wrote."""
    return {"plan2bundle": _plan2bundle, "datalist": _datalist, "export": _export, "import": _import}[args.action](args)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("-q", "--quiet", action="store_true", help="only warnings, errors and the result")
    parser.add_argument("--traceback", action="store_true", help="show where a wrong input was noticed")
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--configuration", default="3d_fullres", metavar="NAME", help="of the plans (3d_fullres)")


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", default=_BUNDLE, metavar="BUNDLE", help=f"the method: {_BUNDLE} (default), masked_autoencoder_ct"
    )
    parser.add_argument("--out", required=True, metavar="OUT", help="a new folder")


def _plan2bundle(args: argparse.Namespace) -> Path:
    from medgenesis import bundles
    from medgenesis.data.nnunet import plan_of, read_dataset_json, read_plans

    plans = read_plans(args.plans)
    dataset = read_dataset_json(args.plans, args.dataset_json)
    plan = plan_of(plans, args.configuration, dataset=dataset, source=args.plans)
    _check_network(plan)
    folder = bundles.copy_planned(args.bundle, args.out, plan, Path(args.plans).name)
    _say_plan(plan)
    logger.info("next: medgenesis nnunet datalist %s --out list.json", _arrays(args.plans, plan))
    logger.info("then: medgenesis run %s pretrain --datalist list.json", shlex.quote(str(folder)))
    return folder


def _datalist(args: argparse.Namespace) -> Path:
    from medgenesis.data import write_datalist
    from medgenesis.data.nnunet import preprocessed_datalist

    datalist = preprocessed_datalist(args.folder, args.fold, args.seed)
    write_datalist(datalist, args.out)
    counts = ", ".join(f"{len(datalist[section])} {section}" for section in ("training", "validation", "test"))
    logger.info("cases: %s", counts)
    if args.fold is None:
        logger.info(
            "every case may be seen in pre-training, those that a fold validates on too: --fold K leaves them out"
        )
    return Path(args.out).resolve()


def _export(args: argparse.Namespace) -> Path:
    from medgenesis.data.nnunet import plan_of, read_plans
    from medgenesis.weights.nnunet import export_for_nnunet

    plan = plan_of(read_plans(args.plans), args.configuration, source=args.plans) if args.plans else None
    report = export_for_nnunet(args.checkpoint, args.out, plan)
    logger.info("%s", report)
    logger.info("next: nnUNetv2_train DATASET CONFIGURATION FOLD -pretrained_weights %s", shlex.quote(args.out))
    return Path(args.out).resolve()


def _import(args: argparse.Namespace) -> Path:
    from medgenesis import bundles
    from medgenesis.weights.nnunet import read_fold, save_start

    fold = read_fold(args.fold)
    folder = bundles.copy_planned(args.bundle, args.out, fold.plan, fold.path.name)
    save_start(fold, folder / "models" / "pretrained.pt")
    logger.info("%s", fold.report)
    logger.info("origin and terms: %s", folder / "models" / "pretrained.json")
    _say_plan(fold.plan)
    arrays = shlex.quote(f"nnUNet_preprocessed/{fold.dataset}/{fold.plan['data_identifier']}")
    number = re.fullmatch(r"fold_(\d+)", fold.path.absolute().parent.name)
    logger.info("next: medgenesis nnunet datalist %s --fold %s --out fold.json", arrays, number[1] if number else "K")
    logger.info("then: medgenesis run %s finetune --datalist fold.json", shlex.quote(str(folder)))
    return folder


def _check_network(plan: dict[str, Any]) -> None:
    """Build it once, so that what is not installed or not possible is said now, not by the first training."""
    import torch

    from medgenesis.networks import planned_network

    with torch.device("meta"):
        planned_network(plan["architecture"], len(plan["channels"]), 1)


def _say_plan(plan: dict[str, Any]) -> None:
    network = plan["architecture"]["network_class_name"].rpartition(".")[2]
    channels = ", ".join(f"{channel['name']} ({channel['scheme']})" for channel in plan["channels"])
    logger.info("%s, patch %s at %s mm; channels: %s", network, plan["patch_size"], plan["spacing"], channels)


def _arrays(plans: str, plan: dict[str, Any]) -> str:
    folder = Path(plans).parent / str(plan["data_identifier"])
    return shlex.quote(str(folder)) if folder.is_dir() else "FOLDER"
