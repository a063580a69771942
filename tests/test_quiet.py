"""What MONAI says at every workflow and nobody can use is not said."""

import logging

from monai.bundle import ConfigWorkflow

import medgenesis  # noqa: F401  (installs the filter)


def test_a_workflow_without_logging_file_is_no_news(tmp_path, capfd):
    (tmp_path / "task.yaml").write_text("width: 2\n")
    logger = logging.getLogger("monai.bundle.workflows")
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    logger.addHandler(handler)
    try:
        ConfigWorkflow(str(tmp_path / "task.yaml"), workflow_type="train", logging_file=False)
        logger.warning("another one")  # others are heard
        said = [record.getMessage() for record in heard]
        assert said[-1] == "another one" and "Logging file" not in "".join([*said, *capfd.readouterr()])
    finally:
        logger.removeHandler(handler)
