"""One of two gloo processes: what the momentum branch, Barlow Twins and the engine do there, saved for the test.

python -m helpers.two_processes RANK FOLDER, in tests/
"""

import sys
from pathlib import Path

import torch
from ignite.engine import Events
from monai.data import DataLoader
from torch.nn.parallel import DistributedDataParallel

from helpers.views import Backbone, Slabs, Unet, loader_of, state_of, two_views
from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import FreezeParts, ProbeFirst, ReestimateNorm, probe_first
from medgenesis.losses import segmentation_loss
from medgenesis.methods import Adam, BarlowTwins, CAiD, MomentumContrast, SimSiam, Supervised
from medgenesis.networks import UNet3D

METHODS = {
    "adam": lambda: Adam(Backbone(), level=2, dim=5, queue_size=24),
    "split": lambda: Adam(Backbone(), dim=5, queue_size=24, split_batch=2),
    "caid": lambda: CAiD(Unet(), dim=5, queue_size=24),
    "id": lambda: CAiD(Unet(), mode="id", dim=5, queue_size=24),
    "simsiam": lambda: CAiD(Unet(), SimSiam, dim=8, hidden=4),
    "barlow": lambda: CAiD(Unet(), BarlowTwins, dim=8),
}


def half(pair, rank):
    return {name: value.chunk(2)[rank] for name, value in pair.items()}


def shuffled(rank):
    """One call on this rank's half of 8 images; rank 1's generator is elsewhere, as the engine seeds it."""
    torch.manual_seed(0)
    backbone = Backbone()
    method = MomentumContrast(backbone, dim=5, queue_size=24)
    torch.manual_seed(5 + rank)
    pair = half(two_views(8), rank)
    output = method(backbone(pair["image"]), pair["key"], backbone)
    return {"state": state_of(method), "positive": output["positive"]}


def gradients(rank):
    """Of Barlow Twins, whose projector has no batch norm here, under DistributedDataParallel."""
    torch.manual_seed(0)
    method = CAiD(Unet(), BarlowTwins, mode="id", dim=6)
    method.network.encoder.norm = torch.nn.Identity()
    method.discrimination.projector = torch.nn.Linear(6, 6)
    wrapped = DistributedDataParallel(method)
    wrapped(half(two_views(8), rank))["loss"].backward()
    return {name: p.grad for name, p in method.named_parameters() if p.requires_grad}


def thawed(rank):
    """Fine-tuning whose encoder stays for an epoch and whose statistics are estimated again: state after each epoch."""
    torch.manual_seed(rank)
    method = Supervised(Unet(), torch.nn.MSELoss(), "target")
    states, loader = {}, loader_of(Slabs(16), 4)
    optimizer = torch.optim.SGD(method.parameters(), 0.03, momentum=0.9)
    handlers = [FreezeParts({"encoder": 1}), ReestimateNorm(2)]
    trainer = PretextTrainer("cpu", 3, loader, method, optimizer, train_handlers=handlers)
    states["0"] = state_of(method)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: states.update({str(engine.state.epoch): state_of(method)})
    )
    trainer.run()
    return states


class Boxes(torch.utils.data.Dataset):
    """Bright boxes in noise, and where they are."""

    def __len__(self):
        return 4

    def __getitem__(self, key):
        label = torch.zeros(1, 16, 16, 8)
        label[:, 2:8, key.index : key.index + 6, 2:7] = 1
        noise = torch.rand(label.shape, generator=torch.Generator().manual_seed(100 * key.epoch + key.index))
        return {"image": 0.3 * label + 0.7 * noise, "label": label}


def probed(rank):
    """Fine-tuning whose head begins as a classifier that processors of rank 1's kind get otherwise: state after it."""
    torch.manual_seed(0)
    network = UNet3D(1, 2, 2, activation=None, head_levels="all")
    fit = probe_first.begin_head

    def elsewhere(network, *args):
        absent = fit(network, *args)
        with torch.no_grad():
            network.head.convs[0].weight.add_(rank)
        return absent

    probe_first.begin_head = elsewhere
    method = Supervised(network, segmentation_loss("dice_ce", 2))
    optimizer = torch.optim.Adam(method.parameters(), 1e-3)
    loader = DataLoader(Boxes(), batch_size=2, sampler=SeededSampler(4, 1))
    states = {}
    trainer = PretextTrainer("cpu", 1, loader, method, optimizer, train_handlers=[ProbeFirst()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda _: states.update({"begun": state_of(method)}))
    trainer.run()
    return {**states, "ended": state_of(method)}


def trained(make, rank, batch=4):
    torch.manual_seed(rank)  # DistributedDataParallel takes rank 0's weights and queue
    method = make()
    optimizer = torch.optim.SGD(method.parameters(), 0.03, momentum=0.9)
    trainer = PretextTrainer("cpu", 2, loader_of(Slabs(16), batch), method, optimizer)
    trainer.run()
    return state_of(method)


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {name: trained(make, rank) for name, make in METHODS.items()}
    results |= {
        "shuffled": shuffled(rank),
        "gradients": gradients(rank),
        "thawed": thawed(rank),
        "probed": probed(rank),
    }
    try:
        trained(METHODS["adam"], rank, batch=8)  # 8 divides the queue of 24, 16 does not
    except ValueError as error:
        results["refused"] = str(error)
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
