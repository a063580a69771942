"""Ways to use an encoder on a labelled task, each a fair comparison with the same task without pre-training."""

from medgenesis.transfer.protocols.cross_validation import cross_validate
from medgenesis.transfer.protocols.few_labels import compare_few_labels
from medgenesis.transfer.protocols.last_dice import dice_after_finetuning

__all__ = ["compare_few_labels", "cross_validate", "dice_after_finetuning"]
