"""Time of one training step of CAiD and Adam in PretextTrainer against a bare PyTorch loop, as a markdown table.

    python benchmarks/steps_25d.py [--network resnet18] [--size 96] [--batch 16] [--queue 65536] [--rounds 5]
    python benchmarks/steps_25d.py --network resnet50 --size 224 --steps 1

The loop has the same networks, losses, optimiser and data loader and nothing else; the two take turns, round by round,
so that a busy machine slows both. The ratio is the median of the rounds' ratios.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import CollapseGuard
from medgenesis.methods import Adam, CAiD
from medgenesis.networks import ResNet25D, UNet25D

MOMENTUM, TEMPERATURE, THRESHOLD, DIM = 0.999, 0.2, 0.8, 128


class Views(Dataset):
    """Two random slabs and a target, the same ones every time: cutting and distorting are not what is measured."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.item = {name: torch.rand(3, size, size) for name in ("image", "key")}
        self.item["target"] = torch.rand(1, size, size)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: object) -> dict[str, Tensor]:
        return self.item


def sgd(module: nn.Module) -> torch.optim.SGD:
    """The optimiser of both."""
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.03, momentum=0.9, weight_decay=1e-4)


class Bare:
    """Momentum contrast as a plain script would write it, on the network alone; a decoder restores, if there is one."""

    def __init__(self, network: nn.Module, queue: int, device: torch.device) -> None:
        self.network = network.to(device)
        encoder = getattr(network, "encoder", network)
        channels = network.encoder.out_channels if self.restores else network.out_channels
        head = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, DIM))
        self.query = nn.ModuleList([encoder, head]).to(device)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.queue, self.pointer = F.normalize(torch.randn(DIM, queue, device=device), dim=0), 0
        self.optimizer = sgd(nn.ModuleList([network, head]))

    @property
    def restores(self) -> bool:
        return hasattr(self.network, "decoder")

    def step(self, image: Tensor, key: Tensor, target: Tensor) -> None:
        features = self.query[0](image)
        q = self.embedded(self.query, features)
        with torch.no_grad():
            for slow, fast in zip(self.key.parameters(), self.query.parameters(), strict=True):
                slow.mul_(MOMENTUM).add_(fast, alpha=1 - MOMENTUM)
            k = self.embedded(self.key, self.key[0](key))
        similar = q @ self.queue.clone()
        if not self.restores:  # Adam prunes
            similar = similar.masked_fill(similar >= THRESHOLD, -torch.inf)
        logits = torch.cat([(q * k).sum(1, keepdim=True), similar], 1) / TEMPERATURE
        loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))
        if self.restores:
            restored = self.network.head(self.network.decoder(features)).sigmoid()
            loss = loss + 10 * F.mse_loss(restored, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.queue[:, self.pointer : self.pointer + len(k)] = k.T
        self.pointer = (self.pointer + len(k)) % self.queue.shape[1]

    def embedded(self, branch: nn.ModuleList, features: Tensor | list[Tensor]) -> Tensor:
        global_average_pool = features[-1].mean((2, 3)) if self.restores else features
        return F.normalize(branch[1](global_average_pool), dim=1)


def bare_round(bare: Bare, loader: DataLoader, device: torch.device) -> None:
    bare.network.train()
    for batch in loader:
        bare.step(*(batch[name].to(device) for name in ("image", "key", "target")))


def trainer_round(trainer: PretextTrainer) -> None:
    trainer.state.max_epochs = (trainer.state.max_epochs or 0) + 1
    trainer.run()


def seconds(work: Callable, *args: object) -> float:
    start = time.perf_counter()
    work(*args)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, args: argparse.Namespace, device: torch.device) -> tuple[float, float, float]:
    """Median seconds of a bare step and of one in the trainer, and the median ratio of a round."""
    torch.manual_seed(0)
    network = UNet25D(args.network) if name == "CAiD" else ResNet25D(args.network)
    bare = Bare(copy.deepcopy(network), args.queue, device)
    method = CAiD(network, queue_size=args.queue) if name == "CAiD" else Adam(network, level=2, queue_size=args.queue)
    views = Views(args.batch * args.steps, args.size)
    loader = DataLoader(views, args.batch, sampler=SeededSampler(len(views)), drop_last=True)
    trainer = PretextTrainer(device, 0, loader, method, sgd(method), train_handlers=[CollapseGuard(patience=10**9)])
    rounds = []
    for _ in range(args.rounds + 1):  # the first warms up
        rounds.append((seconds(bare_round, bare, loader, device), seconds(trainer_round, trainer)))
    plain, ours = (statistics.median(times) / args.steps for times in zip(*rounds[1:], strict=True))
    return plain, ours, statistics.median(ours / plain for plain, ours in rounds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--steps", type=int, default=5, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{args.network}, batch {args.batch} at {args.size}^2, queue {args.queue}, {where}, torch {torch.__version__}\n"
    )
    print("| method | s a step, bare loop | s a step, PretextTrainer | ratio |")
    print("|---|---|---|---|")
    for name in ("CAiD", "Adam"):
        plain, ours, ratio = measure(name, args, device)
        print(f"| {name} | {plain:.3f} | {ours:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
