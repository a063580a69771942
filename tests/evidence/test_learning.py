"""Samples, frozen readouts and scores against slow re-computations; each arm runs from end to end on a small set."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.evidence import batches, finetuning, frozen, mean_teacher, mined, scores, trivial
from benchmarks.evidence.networks import enlarged, segmenter
from benchmarks.evidence.training import share_of_rate
from medgenesis.networks.voxel_probe import FeatureLevels


def test_without_chance_the_augmented_crop_is_the_middle_of_the_case(study):
    case = study.cases["training"][0]
    crop = batches.RandAugmentedCropd((8, 12, 8))
    crop.R = type("Never", (), {"random": lambda self: 1.0, "uniform": lambda self, a, b, n=None: np.zeros(n or ())})()
    sample = crop(batches.labelled_sources_of([case])[0])
    torch.testing.assert_close(sample["image"], case.image[:, 4:12, 2:14, 4:12])
    assert sample["label"].equal(case.label[:, 8:24, 4:28, 8:24].float())


def test_the_augmented_crop_moves_along_the_right_axis_and_stays_inside(study):
    image = torch.zeros(1, 16, 16, 16)
    image[0, 13, 8, 8] = 1
    crop = batches.RandAugmentedCropd((8, 8, 8))
    shifts = iter([np.array([1.0, 0.0, 0.0])])
    crop.R = type("R", (), {"random": lambda self: 1.0, "uniform": lambda self, a, b, n=None: next(shifts)})()
    sample = crop({"image": image, "label": image.repeat_interleave(2, 1), "sides": (16, 16, 16)})
    assert (
        sample["image"].argmax()
        == torch.zeros(8, 8, 8).index_put((*map(torch.tensor, (5, 4, 4)),), torch.tensor(1.0)).argmax()
    )


def test_image_and_label_are_turned_and_scaled_alike(study):
    data = batches.CasesInMemory(
        batches.labelled_sources_of(study.cases["training"]), batches.RandAugmentedCropd((12, 12, 12)), 20, 0
    )
    for index in range(20):
        sample = data[index]
        bright = F.interpolate(sample["image"][None], scale_factor=2, mode="trilinear")[0] > 0.35
        assert scores.dice(bright.int(), (sample["label"] > 0).int(), 1)[0] > 0.85
    assert data[3]["image"].equal(data[3]["image"]) and not data[3]["image"].equal(data[9]["image"])  # of one case


def test_crops_of_pretexts_lie_within_the_image(study):
    case = study.cases["training"][0]
    ramp = torch.arange(16.0).view(1, 1, 16, 1).expand(1, 16, 16, 16)
    crop = batches.RandCropOfCased((8, 8, 8)).set_random_state(0)
    firsts = {int(crop({"image": ramp, "sides": case.sides})["image"][0, 0, 0, 0]) for _ in range(60)}
    assert firsts == {2, 3, 4, 5, 6}  # of sides (16, 12, 16): voxels 2 to 13 along y
    assert crop({"image": ramp, "sides": case.sides, "origin": (0, 7, 0)})["image"][0, 0, 0, 0] == 7


def test_no_pretext_sees_a_label(study):
    assert all(set(source) == {"image", "sides"} for source in batches.sources_of(study.unlabelled))


def test_the_rate_rises_over_a_tenth_and_falls_to_nothing():
    shares = [share_of_rate(step, 200) for step in range(200)]
    assert shares[0] == 1 / 20 and shares[19] == shares[20] == 1 and shares[199] < 0.001
    assert np.argmax(np.diff(shares) < 0) == 20 and share_of_rate(0, 1) == 1


def test_dice_is_that_of_sets():
    one = torch.tensor([0, 1, 1, 2, 2, 2])
    other = torch.tensor([0, 1, 2, 2, 2, 0])
    assert scores.dice(one, other, 3)[:2] == [2 * 1 / (2 + 1), 2 * 2 / (3 + 3)]
    assert np.isnan(scores.dice(one, other, 3)[2])


def test_the_regression_is_at_its_minimum():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 4, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 1.0]) + 5
    shares = F.one_hot((features[:, 0] > 5).long() + (features[:, 1] > 5).long(), 3).float()
    weight, bias = frozen.fit(features, shares, 0.01)
    spread = features.std(0)
    logits = features @ weight.T + bias
    gradient = (logits.softmax(1) - shares).T @ ((features - features.mean(0)) / spread) / 300 + 0.01 * weight * spread
    assert gradient.abs().max() < 1e-3


def test_a_frozen_answer_is_the_regression_on_enlarged_maps(study, monkeypatch):
    monkeypatch.setattr(frozen, "VOXELS", 500)
    network = frozen.frozen_network(study, None, 0)
    some, answers = study.cases["training"][:1], []
    monkeypatch.setattr(
        frozen, "dice_of", lambda answer, cases, structures, device: answers.append(answer(cases[0].image[None]))
    )
    frozen.dice_of_frozen(study, network, some, study.cases["test"], penalty=0.01, seed=0)
    weight, bias = frozen.fit(*frozen._voxels(study, network, some, 2, 0)[:2], 0.01)
    image = study.cases["test"][0].image[None]
    with torch.no_grad():
        maps = torch.cat([enlarged(one, 16 // one.shape[-1]) for one in FeatureLevels(network)(image)[1:]], 1)
    expected = enlarged(torch.einsum("kc,bcxyz->bkxyz", weight, maps) + bias.view(1, -1, 1, 1, 1), 2)
    torch.testing.assert_close(answers[0], expected, rtol=1e-3, atol=1e-3)


def test_images_of_two_dimensions_have_a_network_with_levels_too(study):
    flat = dataclasses.replace(study, structures=("lung",), crop=(32, 32))
    network, image = segmenter(flat, 0).eval(), torch.rand(2, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = FeatureLevels(network)(image)[1:]
        torch.testing.assert_close(network.head(levels[-1]), network(image))
    assert [tuple(one.shape[2:]) for one in levels[:5]] == [(32 // k, 64 // k) for k in (2, 4, 8, 16, 32)]


def test_frozen_statistics_are_those_of_the_unlabelled_images(study):
    network = frozen.frozen_network(study, None, 0)
    first = network.encoder.levels[0][0]
    with torch.no_grad():
        maps = first.conv(batches.images_of(study.unlabelled))
    torch.testing.assert_close(first.norm.running_mean, maps.mean((0, 2, 3, 4)))


def test_the_mean_mask_of_one_label_is_that_label(study):
    labelled, tested = study.cases["training"][:1], study.cases["test"]
    found = trivial.dice_of_mean_mask(labelled, tested, 2)
    again = [scores.dice(labelled[0].label[0], case.label[0], 2) for case in tested]
    assert found == pytest.approx(np.array(again))
    assert trivial.dice_of_mean_mask(labelled, labelled, 2) == pytest.approx(np.ones((1, 2)))


def test_fine_tuning_learns(study):
    labelled, tested = study.labelled(1, 0), study.cases["test"]
    found = finetuning.dice_after_finetuning(study, None, labelled, tested, steps=12, rate=1e-2, seed=5)
    assert found.shape == (3, 2) and found.mean() > 0.3


def test_fine_tuning_begins_with_the_weights_and_the_head_of_the_seed(study, monkeypatch):
    monkeypatch.setattr(finetuning, "NORM_BATCHES", 1)
    weights, settings = segmenter(study, 9).state_dict(), {"steps": 1, "rate": 1e-12, "seed": 5}
    one, same = (finetuning.fine_tuned(study, weights, study.labelled(1, 0), **settings).state_dict() for _ in range(2))
    assert all(one[key].equal(same[key]) for key in one)
    assert torch.allclose(one["network.decoder.levels.0.up.weight"], weights["decoder.levels.0.up.weight"])
    assert torch.allclose(one["network.head.conv.weight"], segmenter(study, 5).head.conv.weight)  # in every arm


def test_a_mean_teacher_is_the_mean_of_its_student_and_asks_it_to_agree(study):
    torch.manual_seed(0)
    method = mean_teacher.MeanTeacher(torch.nn.Conv3d(1, 2, 1), lambda answer, label: 0 * answer.sum(), 10)
    weights = []
    for value in (1.0, 3.0, 5.0):
        method.network.weight.data.fill_(value)
        method.follow()
        method.taken += 1
        weights.append(float(method.teacher.weight[0]))
    assert weights == pytest.approx([1.0, 2.0, 3.0])  # a plain mean as long as that decays faster
    method.taken = 10
    torch.nn.init.normal_(method.network.weight)
    batch = {"image": torch.rand(1, 1, 2, 2, 2), "label": torch.zeros(1, 1, 2, 2, 2), "key": torch.rand(1, 1, 2, 2, 2)}
    found = method(batch)
    assert float(found["loss"].detach()) == pytest.approx(
        mean_teacher.CONSISTENCY * float(found["consistency"]), abs=1e-7
    )
    assert found["consistency"] > 0 and not any(one.requires_grad for one in method.teacher.parameters())


def test_unlabelled_crops_do_not_change_what_labelled_ones_are_learnt_with():
    """Batch norm in one pass would let the noise of the unlabelled ones decide how the labelled ones are scaled."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3), torch.nn.BatchNorm3d(4), torch.nn.Conv3d(4, 2, 1))
    image, label = torch.rand(2, 1, 6, 6, 6), torch.randint(2, (2, 1, 4, 4, 4))
    expected = F.cross_entropy(network(image), label[:, 0])
    for key in (torch.rand_like(image), 50 + 100 * torch.rand_like(image)):
        method = mean_teacher.MeanTeacher(network, lambda answer, label: F.cross_entropy(answer, label[:, 0]), 10)
        method.taken = -(10**6)  # consistency weighs nothing
        batch = {"image": image, "label": label, "key": key}
        method.follow = lambda: None
        torch.testing.assert_close(method(batch)["loss"], expected)


def test_a_mean_teacher_sees_the_labelled_crops_of_every_arm(study):
    crop, sources = batches.RandAugmentedCropd((8, 8, 8)), batches.labelled_sources_of(study.labelled(1, 0))
    plain = batches.CasesInMemory(sources, crop, 4, 0)[2]
    beside = mean_teacher.RandBesideUnlabelledd(crop, batches.sources_of(study.unlabelled), (8, 8, 8))
    both = batches.CasesInMemory(sources, beside, 4, 0)[2]
    assert both["image"].equal(plain["image"]) and both["label"].equal(plain["label"])
    assert both["key"].shape == (1, 8, 8, 8) and not both["key"].equal(both["image"])


def test_fine_tuning_with_a_teacher_learns_something_else(study, monkeypatch):
    monkeypatch.setattr(finetuning, "NORM_BATCHES", 1)
    settings = {"steps": 2, "rate": 1e-3, "seed": 5}
    one, other = (
        finetuning.fine_tuned(study, None, study.labelled(1, 0), teacher=teacher, **settings).state_dict()
        for teacher in (False, True)
    )
    assert one.keys() == other.keys() and any(not one[key].equal(other[key]) for key in one)


@pytest.mark.parametrize("asked, taken", [(3, 3), (60, 6)])  # 60 of 6 patients: all of them
def test_mined_sources_are_places_of_unlabelled_images(study, monkeypatch, asked, taken):
    monkeypatch.setattr(mined, "PATTERNS", {"classes": 2, "train_patients": asked, "min_distance": 1})
    found = mined.mined_sources(study, frozen.frozen_network(study, None, 0).state_dict())
    assert [int(one["class"]) for one in found] == [0] * taken + [1] * taken
    assert len({one["origin"] for one in found}) == 2
    assert all(any(one["image"].equal(case.image) for case in study.unlabelled) for one in found)
