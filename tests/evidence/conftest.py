"""A small set in memory."""

import pytest
import torch

from benchmarks.evidence.sets import Case, StudySet


@pytest.fixture
def study():
    """Balls of two halves, brighter than what is round them: 6, 2 and 3 patients."""

    def case(number):
        generator = torch.Generator().manual_seed(number)
        axes = torch.meshgrid(*(torch.arange(32.0),) * 3, indexing="ij")
        centre = 15.5 + 3 * (torch.rand(3, generator=generator) - 0.5)
        inside = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)) < 64
        label = torch.where(inside, 1 + (axes[0] > centre[0]).int(), 0).to(torch.uint8)
        noise = 0.1 * torch.rand(16, 16, 16, generator=generator)
        image = 0.6 * torch.nn.functional.avg_pool3d(inside.float()[None], 2)[0] + noise
        return Case(number, image[None], label[None], (16, 12, 16))

    sections = {"training": range(6), "validation": range(6, 8), "test": range(8, 11)}
    cases = {name: [case(number) for number in numbers] for name, numbers in sections.items()}
    return StudySet("balls", ("front", "back"), (8, 8, 8), cases, cases["training"], "computed", "none")
