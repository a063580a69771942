"""What to label next, against a slow search; and the groups that the first few labels should cover."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.label_app.choice import farthest, flip_disagreement, most_typical


def _scaled(vectors):
    points = np.stack([vectors[name] for name in sorted(vectors)])
    return (points - points.mean(0)) / points.std(0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), known=st.integers(1, 6))
def test_the_farthest_is_that_of_a_slow_search(seed, known):
    rng = np.random.default_rng(seed)
    vectors = {f"s{i}": rng.normal(size=4) for i in range(8)}
    points, names = _scaled(vectors), sorted(vectors)
    labelled = set(names[:known])
    best, how_far = None, -1.0
    for i, name in enumerate(names):
        if name not in labelled:
            nearest = min(float(np.sqrt(((points[i] - points[j]) ** 2).sum())) for j in range(known))
            if nearest > how_far:
                best, how_far = name, nearest
    name, distance = farthest(vectors, labelled)
    assert name == best and distance == pytest.approx(how_far)


def test_the_first_few_cover_the_groups():
    rng = np.random.default_rng(0)
    centres = {"a": (0, 0), "b": (10, 0), "c": (0, 10)}
    sizes = {"a": 8, "b": 5, "c": 3}
    vectors = {
        f"{group}{i}": np.array(centre) + rng.normal(size=2) * 0.3
        for group, centre in centres.items()
        for i in range(sizes[group])
    }
    for choose in (most_typical, farthest):
        labelled = []
        for _ in range(3):
            labelled.append(choose(vectors, labelled)[0])
        assert {name[0] for name in labelled} == set(centres), choose
    first, _ = most_typical(vectors, [])
    middle = np.median(np.stack(list(vectors.values())), 0)
    assert first[0] == "a" and np.linalg.norm(vectors[first] - middle) < 3


@pytest.mark.parametrize("axes", [2, 3])
def test_the_doubt_is_that_of_a_slow_count(axes):
    shape = (5, 4, 3)[:axes]
    image = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0))
    place = torch.rand((4, *shape), generator=torch.Generator().manual_seed(1))
    place[3] = -9.0  # a class that is never found

    def segment(images):  # by the place in the image as much as by its content
        return (place + images[0] * torch.arange(4.0).view(4, *[1] * axes))[None]

    first = segment(image[None])[0].argmax(0).numpy()
    mirrored = segment(torch.from_numpy(image.numpy()[:, ::-1].copy())[None])[0].argmax(0).numpy()[::-1]
    found = []
    for value in (1, 2):
        both = sum(a == b == value for a, b in zip(first.ravel(), mirrored.ravel(), strict=True))
        found.append(2 * both / ((first == value).sum() + (mirrored == value).sum()))
    assert 0 < np.mean(found) < 1
    assert flip_disagreement(segment, image) == pytest.approx(1 - np.mean(found))
    assert flip_disagreement(lambda images: -torch.arange(4.0).view(1, 4, *[1] * axes) + 0 * images, image) == 0


def test_few_and_equal_studies():
    same = {name: np.ones(3) for name in "abc"}
    assert most_typical(same, ["a"])[0] in "bc" and farthest(same, ["a"])[0] in "bc"
    assert most_typical({"only": np.ones(2)}, [])[0] == "only" == farthest({"only": np.ones(2)}, [])[0]
