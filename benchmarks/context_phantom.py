"""Does restoring context teach an encoder more than telling images apart? CAiD on phantoms' X-rays, as a table.

    python benchmarks/context_phantom.py [--seeds 0 1 2] [--xrays FOLDER]
    python benchmarks/context_phantom.py --seeds 0 --steps 5 --decoder-steps 5     whether it runs

Encoders trained with and without the restoration of context (modes "caid" and "id": same start, views and
steps), then frozen, and the untrained one; new decoders, alike and trained alike, restore distorted X-rays of unseen
subjects.

A seed takes a few minutes of one processor core. The table gives mean and standard deviation over the seeds.
"""

import argparse
import copy
from pathlib import Path

import torch
from monai.transforms import RandFlip
from phantom_xrays import Tables, parser_of, records_of, show_over_seeds, slabs, train, trained
from torch import Tensor, nn

from medgenesis.engines import PretextMethod
from medgenesis.methods import CAiD
from medgenesis.networks import UNet25D
from medgenesis.transfer import restoration_errors
from medgenesis.transforms import (
    RandBlur,
    RandBrightnessContrast,
    RandCAiDDistortion,
    RandResizedCrop,
    RandTwoViewsd,
)


def distorted_views(size: int) -> RandTwoViewsd:
    """CAiD's, at a size below the published program's."""
    view = [RandResizedCrop(size), RandBrightnessContrast(), RandBlur(), RandFlip(0.5, spatial_axis=1)]
    return RandTwoViewsd("image", [*view, RandCAiDDistortion(least_side=size)], target_key="target")


def sgd(method: nn.Module, lr: float) -> torch.optim.SGD:
    """Of the weights that are learnt."""
    return torch.optim.SGD(trained(method), lr, momentum=0.9, weight_decay=1e-4)


class FrozenEncoder(PretextMethod):
    """A new decoder for a finished encoder: the restoration alone is learnt."""

    def __init__(self, network: UNet25D) -> None:
        super().__init__()
        self.network = network
        network.encoder.requires_grad_(False)

    def restore(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.network(image).sigmoid()

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.network.encoder.eval()  # its running statistics are frozen too
        restored = self.restore(batch["image"])
        return {"loss": nn.functional.mse_loss(restored, batch["target"]), "restored": restored.detach()}


def learn_context(folder: Path, args: argparse.Namespace, seed: int) -> Tables:
    """Figures of one seed: errors on unseen subjects of a decoder on each encoder, and of trivial answers."""
    training, test = records_of(folder)
    torch.manual_seed(seed)
    start = UNet25D("resnet18", 1)
    views = distorted_views(args.size)
    count, batch = args.steps * args.batch, args.batch
    networks = {"untrained encoder": start}
    for mode in ("id", "caid"):
        torch.manual_seed(seed)
        method = CAiD(copy.deepcopy(start), mode=mode, queue_size=1024, momentum=0.95)
        train(method, slabs(training, views, count, seed), batch, sgd(method, args.lr), seed)
        networks[f'mode "{mode}"'] = method.network
    held_out = slabs(test, views, 8 * len(test), seed=1)
    rows = {}
    for name, network in networks.items():
        torch.manual_seed(seed + 1000)
        probe = UNet25D("resnet18", 1)
        probe.encoder.load_state_dict(network.encoder.state_dict())
        method = FrozenEncoder(probe)
        dataset = slabs(training, views, args.decoder_steps * batch, seed + 1000)
        train(method, dataset, batch, sgd(method, args.decoder_lr), seed)
        errors = restoration_errors(method, dataset, held_out, 16)
        rows[name] = {"mean squared error": errors.pop("network")}
    rows |= {name: {"mean squared error": error} for name, error in errors.items()}
    return {"restored context of unseen subjects": rows}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--decoder-steps", type=int, default=50)
    parser.add_argument("--decoder-lr", type=float, default=0.1)
    args = parser.parse_args()
    show_over_seeds(args, lambda folder, seed: learn_context(folder, args, seed))


if __name__ == "__main__":
    main()
