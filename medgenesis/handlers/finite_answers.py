"""A validation whose answers are NaN is an error: an argmax would make the first class of them."""

from ignite.engine import Engine
from monai.engines import IterationEvents
from monai.utils import CommonKeys

from medgenesis.data.checks import check_answers
from medgenesis.io.naming import volume_name


class FiniteAnswers:
    """Refuse answers with NaN or infinity, before they are postprocessed; attached to MONAI's evaluators.

    Raises:
        VolumeError: (at the image) there are some.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output = engine.state.output
        for number, answers in enumerate(output[CommonKeys.PRED]):
            check_answers(answers, volume_name(output[CommonKeys.IMAGE][number]))
