"""Losses of fine-tuning against slow sums."""

import pytest
import torch

from medgenesis.losses import balanced_weights, classification_loss, segmentation_loss


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    return logits, torch.randint(0, 3, (2, 1, 4, 4, 4), generator=generator)


def dice(logits, labels):
    """1 - soft Dice of each class over the batch, smooth 1, mean over classes."""
    p, total = logits.softmax(1), 0
    for c in range(3):
        t = (labels[:, 0] == c).float()
        total += 1 - (2 * (p[:, c] * t).sum() + 1) / (p[:, c].sum() + t.sum() + 1)
    return total / 3


def weighted_ce(logits, labels, weights):
    p = logits.log_softmax(1).gather(1, labels)[:, 0]
    w = torch.tensor(weights)[labels[:, 0]]
    return -(w * p).sum() / w.sum()


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_dice_and_cross_entropy(maps, weights):
    expected = dice(*maps) + weighted_ce(*maps, weights or [1.0, 1.0, 1.0])
    torch.testing.assert_close(segmentation_loss("dice_ce", 3, weights)(*maps), expected)


def test_dice_alone_and_with_focal(maps):
    logits, labels = maps
    torch.testing.assert_close(segmentation_loss("dice", 3)(*maps), dice(*maps))
    log_p = logits.log_softmax(1).gather(1, labels)[:, 0]
    weights = torch.tensor([1.0, 2.0, 5.0])
    focal = (-weights[labels[:, 0]] * (1 - log_p.exp()) ** 2 * log_p).mean() / 3
    torch.testing.assert_close(segmentation_loss("dice_focal", 3, weights.tolist())(*maps), dice(*maps) + focal)


def test_balanced_weights_give_every_class_the_same_sum():
    counts = {0: 900, 2: 90, 3: 10}
    weights = balanced_weights(counts, 4)
    assert weights[1] == 0
    assert len({round(weights[one] * number, 6) for one, number in counts.items()}) == 1
    assert sum(weights[one] * number for one, number in counts.items()) == pytest.approx(1000)


def test_classes_and_findings():
    logits, classes = torch.tensor([[2.0, 0.5], [0.1, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 0])
    records = [{"class": int(one)} for one in classes]
    found = classification_loss("cross_entropy", 2, class_weights="balanced", records=records)(logits, classes)
    each = -logits.log_softmax(1)[range(3), classes]
    torch.testing.assert_close(found, (each * torch.tensor([0.75, 1.5, 0.75])).sum() / 3)
    p = (-each).exp()
    torch.testing.assert_close(classification_loss("focal", 2)(logits, classes), ((1 - p) ** 2 * each).mean() / 2)
    findings = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    records = [{"classes": [int(one) for one in row]} for row in findings]
    loss = classification_loss("cross_entropy", 2, multi_label=True, class_weights="balanced", records=records)
    q = logits.sigmoid()
    torch.testing.assert_close(
        loss(logits, findings), -(2 * findings * q.log() + (1 - findings) * (1 - q).log()).mean()
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_finding_that_is_the_same_in_all_records_counts_plainly(value):
    """Its odds are 0 or infinite: a weight of 0 would take it out of the loss."""
    logits, findings = torch.tensor([[0.3], [-1.0]]), torch.full((2, 1), value)
    records = [{"classes": [int(value)]}] * 2
    loss = classification_loss("cross_entropy", 1, multi_label=True, class_weights="balanced", records=records)
    p = torch.where(findings > 0, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(loss(logits, findings), -p.log().mean())


def test_nothing_to_balance_is_said():
    with pytest.raises(ValueError, match="class_weights: balanced must have training records .*; found none"):
        classification_loss("cross_entropy", 2, class_weights="balanced")


def test_a_loss_of_one_s_own_and_wrong_words():
    own = torch.nn.MSELoss()
    assert segmentation_loss(own, 2) is own and classification_loss(own, 2) is own
    for made in (segmentation_loss, classification_loss):
        for weights in ([1, 2], "balanced"):
            with pytest.raises(ValueError, match="class_weights: must be null with a loss of one's own"):
                made(own, 2, class_weights=weights)
    with pytest.raises(ValueError, match="loss: must be one of dice_ce"):
        segmentation_loss("dicece", 2)
    with pytest.raises(ValueError, match="class_weights: must be null with loss=dice"):
        segmentation_loss("dice", 2, [1, 1])
    for wrong in ([1], [1, -1], "auto"):
        with pytest.raises(ValueError, match="class_weights: must be null, balanced, or 2"):
            segmentation_loss("dice_ce", 2, wrong)


@pytest.mark.parametrize("name", ["dice_ce", "dice_focal", "dice"])
def test_one_class_is_none(name):
    """Its softmax is 1 everywhere: a perfect answer and its opposite have one loss."""
    with pytest.raises(ValueError, match=r"num_classes: must be at least 2; found 1. Give 2 .* background included"):
        segmentation_loss(name, 1)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_findings_may_be_whole_numbers(name):
    loss, logits = classification_loss(name, 3, multi_label=True), torch.tensor([[0.5, -1, 2], [1, 0, -2]])
    findings = torch.tensor([[0, 1, 0], [1, 0, 0]])
    right = torch.where(findings == 1, logits.sigmoid(), 1 - logits.sigmoid())
    focus = (1 - right) ** 2 if name == "focal" else 1
    assert loss(logits, findings).item() == pytest.approx((-right.log() * focus).mean().item())
    assert loss(logits, findings) == loss(logits, findings.float())
