"""No question takes a count of nothing, or a negative one as a slice."""

import pytest
from helpers.study_sets import column_encoder

from medgenesis.transfer.analyses.inversion import Inversion
from medgenesis.transfer.counts import check_counts
from medgenesis.transfer.features import study_features
from medgenesis.transfer.protocols.propagation import Propagation, propagate
from medgenesis.transfer.questions.analyses import ask_invariance, ask_multiview, ask_saliency
from medgenesis.transfer.questions.inversion import ask_inversion
from medgenesis.transfer.questions.places import Places, ask_places
from medgenesis.transfer.study_set import StudySet

ENCODER, NONE = column_encoder(), StudySet("none", (), ())
QUESTIONS = {
    "saliency images": lambda count, out: ask_saliency(ENCODER, NONE, out, images=count),
    "saliency window": lambda count, out: ask_saliency(ENCODER, NONE, out, window=count),
    "saliency stride": lambda count, out: ask_saliency(ENCODER, NONE, out, stride=count),
    "saliency batch_size": lambda count, out: ask_saliency(ENCODER, NONE, out, batch_size=count),
    "invariance images": lambda count, out: ask_invariance(ENCODER, NONE, out, images=count),
    "multiview pairs": lambda count, out: ask_multiview(ENCODER, NONE, out, pairs=count),
    "inversion images": lambda count, out: ask_inversion(ENCODER, NONE, Inversion(), out, images=count),
    "compositionality images": lambda count, out: ask_places(
        "compositionality", ENCODER, NONE, Places(images=count), out
    ),
    "compositionality window": lambda count, out: ask_places(
        "compositionality", ENCODER, NONE, Places(window=count), out
    ),
    "propagate cases": lambda count, out: propagate(ENCODER, NONE, Propagation(cases=count)),
    "features batch_size": lambda count, out: study_features(ENCODER, NONE, out, batch_size=count),
}


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_count_below_one_is_refused_by_its_name(question, count, tmp_path):
    with pytest.raises(ValueError, match=rf"^{question.split()[1]}: must be at least 1; found {count}\."):
        QUESTIONS[question](count, tmp_path)


def test_what_is_not_given_is_not_counted():
    check_counts(images=1, window=None)
