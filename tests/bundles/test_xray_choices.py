"""What is typed beside a choice of the chest X-ray bundles: it holds for what is chosen, or is named."""

import logging

import pytest

UNUSED = "medgenesis.bundles.unused"


@pytest.mark.parametrize(
    ("typed", "rate"),
    [
        ({}, 0.03),
        ({"pretrain_optimizer": "AdamW"}, 0.0003),
        ({"learning_rate": 0.01}, 0.01),
        ({"pretrain_optimizer": "AdamW", "learning_rate": 0.01}, 0.01),
    ],
)
def test_adam_learns_at_the_rate_that_is_typed(adam, typed, rate):
    optimizer = adam.workflow("pretrain", **typed).parser.get_parsed_content("optimizer")
    assert type(optimizer).__name__ == typed.get("pretrain_optimizer", "SGD")
    assert [group["initial_lr"] if "initial_lr" in group else group["lr"] for group in optimizer.param_groups] == [rate]


def test_settings_of_a_discriminator_that_is_not_chosen_are_named(caid, caplog):
    typed = {"queue_size": 24, "key_momentum": 0.9}

    def said(**more):
        caplog.clear()
        with caplog.at_level(logging.WARNING, UNUSED):
            workflow = caid.workflow("pretrain", **typed, **more)
        messages = [one.getMessage() for one in caplog.records if one.name == UNUSED]
        return workflow, sorted(
            one.split(":")[0] for one in messages if "has no effect" in one and "pretrain.yaml" in one
        )

    assert said()[1] == []
    workflow, named = said(discriminator="SimSiam")
    assert named == sorted(typed)
    # of before: runs that are continued say them
    kept = workflow.parser.get_parsed_content("train#trainer#made_with")
    assert {id: kept[id] for id in typed} == typed
