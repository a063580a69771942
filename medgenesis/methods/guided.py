"""Learning from labels and from clicks: a network that segments by itself, and better where it is shown mistakes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.methods.supervised import Supervised
from medgenesis.networks.guidance import guidance_maps

_THICK = 5  # voxels of the neighbourhood in which a mistake must be large to be clicked


class GuidedSupervised(Supervised):
    """A network with a further input channel for each class, trained with simulated clicks.

    Of each sample the network is first asked without clicks, in evaluation mode. Then, but for a share of the samples,
    1 to `most_clicks` of its mistakes are clicked: of a class drawn among those that it has missed anywhere (a false
    structure is missed background), at a voxel drawn by how much of its neighbourhood is wrong too, since people click
    in the middle of a mistake. The loss is that of the answer with the clicks.

    Args:
        network: (B, C, *spatial) or (B, C + classes, *spatial) -> logits (B, classes, *spatial); `UNet3D(guidance=…)`.
        loss: (answer, target) -> scalar.
        without_clicks: share of the samples that get none, so that the network segments by itself too.
        most_clicks: of a sample.

    Raises:
        ValueError: the network has no channels for clicks, or a setting is out of range.

    References:
        Diaz-Pinto et al., DeepEdit, arXiv 2305.10655, 2022.

    Notes:
        Published: clicks one after the other, each in the answer to those before; here all in the first answer, which
        takes one pass of the network a step instead of several. Random numbers come from torch's generator, which
        `PretextTrainer` seeds.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        without_clicks: float = 0.4,
        most_clicks: int = 5,
    ) -> None:
        super().__init__(network, loss)
        if not (0 <= without_clicks < 1 and most_clicks >= 1):
            raise ValueError(
                "without_clicks, most_clicks: must be a share below 1, and 1 or more; found "
                f"{without_clicks}, {most_clicks}. Take 0.4 and 5."
            )
        if not getattr(network, "guidance", 0):
            raise ValueError(
                f"network: must have channels for clicks; found {type(network).__name__} without. Give it "
                "guidance=num_classes, as `guidance: '@click_channels'` of network_def does."
            )
        self.without_clicks, self.most_clicks = without_clicks, most_clicks
        self.settings = {"without_clicks": without_clicks, "most_clicks": most_clicks}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch, its clicks simulated."""
        image, target = batch["image"], batch[self.target]
        maps = self._simulated(image, target)
        return {"loss": self.loss(self.network(torch.cat([image, maps.to(image.dtype)], 1)), target)}

    @torch.no_grad()
    def _simulated(self, image: Tensor, target: Tensor) -> Tensor:
        """Maps (B, classes, *spatial) of clicks in the mistakes of the network."""
        modes = [(module, module.training) for module in self.network.modules()]  # what is frozen has one of its own
        self.network.eval()
        answer = self.network(image)
        for module, training in modes:
            module.training = training
        found = answer.argmax(1)
        return torch.stack(
            [self._of_sample(one, truth[0], answer.shape[1]) for one, truth in zip(found, target, strict=True)]
        )

    def _of_sample(self, found: Tensor, truth: Tensor, num_classes: int) -> Tensor:
        clicks: dict[int, list[list[float]]] = {}
        if torch.rand(()) >= self.without_clicks:
            number = int(torch.randint(1, self.most_clicks + 1, ()))
            clicks = mistakes_clicked(found, truth, number)
        return guidance_maps(clicks, num_classes, found.shape, found.device)


def mistakes_clicked(found: Tensor, truth: Tensor, number: int) -> dict[int, list[list[float]]]:
    """Clicks in what an answer has wrong.

    Args:
        found: classes (*spatial).
        truth: likewise.
        number: of clicks; none is made where nothing is wrong.

    Returns:
        True class -> voxels.
    """
    wrong = found != truth
    missed = [int(value) for value in truth[wrong].unique()]
    clicks: dict[int, list[list[float]]] = {}
    for _ in range(number if missed else 0):
        value = missed[int(torch.randint(len(missed), ()))]
        own = (wrong & (truth == value)).float()
        pool = F.avg_pool3d if own.ndim == 3 else F.avg_pool2d
        weight = own * pool(own[None, None], _THICK, 1, _THICK // 2)[0, 0] ** 2
        place = _drawn(weight.flatten())
        clicks.setdefault(value, []).append(
            [float(one) for one in torch.unravel_index(torch.tensor(place), found.shape)]
        )
    return clicks


def _drawn(weight: Tensor) -> int:
    """A place by its weight; `torch.multinomial` takes 2^24 places at most."""
    total = weight.double().cumsum(0)
    at = torch.rand((), dtype=torch.float64).to(total.device) * total[-1]
    return min(int(torch.searchsorted(total, at, right=True)), len(weight) - 1)
