"""What docs/transforms.md says of names, rates, seeds and pitfalls is so."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.data.utils import worker_init_fn
from monai.transforms import Compose, Spacing, Spacingd
from monai.utils import set_determinism

from medgenesis import transforms
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.transforms.genesis_presets import PRESETS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "transforms.md").read_text()


def volume(*shape, seed=0):
    return MetaTensor(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)))


def test_images_and_sections_exist_and_no_image_is_forgotten():
    drawn = {f"transforms_gallery/{path.name}" for path in (DOCS / "transforms_gallery").iterdir()}
    assert set(re.findall(r"!\[.*?\]\((.*?)\)", PAGE)) == drawn
    assert sum((DOCS / name).stat().st_size for name in drawn) < 600_000
    headings = re.findall("^## (.*)", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) == anchors


def test_all_transforms_are_on_the_page():
    arrays = {name for name in transforms.__all__ if f"{name}d" in transforms.__all__}
    assert arrays and all(f"(`{name}`)" in PAGE for name in arrays)


@pytest.mark.parametrize("preset", PRESETS)
def test_rates(preset):
    table = PAGE.split(f"\n`{preset}`: ")[1].split("\n\n")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", table, flags=re.MULTILINE))
    assert rows == {field.name: str(field.default) for field in fields(PRESETS[preset].rates)}
    assert f"{PRESETS[preset].windows:,}".replace(",", " ") + " windows" in table


def test_set_determinism_seeds_each_compose_that_is_made_after_it():
    early, cube, equal = Compose([transforms.RandLocalShuffle()]), volume(1, 24, 24, 24), {}
    make = {
        "made after": lambda: Compose([transforms.RandLocalShuffle()]),
        "made before": lambda: early,
        "outside": transforms.RandLocalShuffle,
    }
    for name, made in make.items():
        results = []
        for _ in range(2):
            set_determinism(0)
            results.append(made()(cube))
        equal[name] = torch.equal(*results)
    set_determinism(None)
    assert equal == {"made after": True, "made before": False, "outside": False}


def shuffled_epochs(loader_class, workers, seed=0, **settings):
    """What each of eight equal cubes becomes, in two epochs of two programs alike."""
    data = Dataset([volume(1, 24, 24, 24)] * 8, Compose([transforms.RandLocalShuffle()]).set_random_state(seed))
    loader = loader_class(data, batch_size=1, num_workers=workers, **settings)
    return [[float((batch * torch.arange(24)).sum(dtype=torch.float64)) for batch in loader] for _ in range(2)]


def test_monais_loader_seeds_from_torch_alone_and_differs_with_the_number_of_workers(one_thread):
    def program(workers, seed):
        torch.manual_seed(5)
        return shuffled_epochs(DataLoader, workers, seed)

    two = program(2, seed=0)
    assert two == program(2, seed=1), "what set_random_state was given is lost"
    assert two != program(0, seed=0) == program(0, seed=1) and len({*two[0], *two[1]}) == 16


def test_torchs_loader_repeats_itself_in_each_worker_and_epoch_unless_told_how_to_seed(one_thread):
    first, second = shuffled_epochs(torch.utils.data.DataLoader, 2)
    assert first == second and first[::2] == first[1::2]
    first, second = shuffled_epochs(torch.utils.data.DataLoader, 2, persistent_workers=True)
    assert first != second and first[::2] == first[1::2] and second[::2] == second[1::2]
    first, second = shuffled_epochs(torch.utils.data.DataLoader, 2, worker_init_fn=worker_init_fn)
    assert len({*first, *second}) == 16


def test_a_spacing_that_follows_must_be_given_both_keys():
    cube = MetaTensor(torch.rand(1, 12, 12, 12), affine=np.diag([2, 2, 2, 1]))
    for lazy in (False, True):
        for keys, grids in (("image", 2), (["image", "target"], 1)):
            out = Compose([transforms.RandGenesisd("image"), Spacingd(keys, 1.0)], lazy=lazy)({"image": cube})
            assert len({out["image"].shape, out["target"].shape}) == grids
        out = Compose([Spacingd("image", 1.0), transforms.RandGenesisd("image")], lazy=lazy)({"image": cube})
        assert out["image"].shape == out["target"].shape != cube.shape


def test_intensities_outside_the_range():
    edges = MetaTensor((torch.rand(1, 12, 12, 12) > 0.5).float(), affine=np.diag([2, 2, 2, 1]))
    transforms.RandGenesis()(Spacing(1.3)(edges))
    with pytest.raises(IntensityRangeError):
        transforms.RandGenesis()(Spacing(1.3, mode=3)(edges))
    with pytest.raises(RuntimeError) as error:
        Compose([transforms.RandGenesisd("image")])({"image": edges * 2})
    assert isinstance(error.value.__cause__, IntensityRangeError)
    with pytest.raises(VolumeError):
        transforms.RandGenesis()(edges.to(torch.int16))
    never = transforms.RandNonlinearIntensity(rescale=True, prob=0.0)(edges * 7)
    assert never.min() == 0 and never.max() == 1


def test_small_sides_and_images():
    shuffle = transforms.RandLocalShuffle().set_random_state(0)
    cubes = [volume(1, side, side, side) for side in (19, 20)]
    assert [torch.equal(shuffle(cube), cube) for cube in cubes] == [True, False]
    image = volume(1, 96, 96)
    changed = [(shuffle(image) != image).float().mean().item() for _ in range(10)]
    assert f"{np.mean(changed):.0%}" == "96%" and "of 96 x 96 pixels, 96 % change" in PAGE


@pytest.mark.parametrize(
    "shape, alpha, expected", [((64, 64, 32), 991, 3.5), ((96, 96), 991, 20), ((96, 96), 170, 3.5)]
)
def test_how_far_the_elastic_deformation_moves(shape, alpha, expected):
    params = transforms.RandInPlaneElastic(alpha).sample(np.random.RandomState(0), (20, 1, *shape))
    assert params.expand().std() == pytest.approx(expected, rel=0.15)


def test_a_pair_in_a_compose_is_mapped_over():
    chain = Compose([transforms.RandGenesis(rates=dict.fromkeys(("flip", "shuffle", "nonlinear", "paint"), 0.0))])
    equal = Compose([*chain.transforms, transforms.RandLocalShuffle()])(volume(1, 24, 24, 24))
    assert len(equal) == 2 and not torch.equal(*equal)
