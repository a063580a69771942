"""What all tests share: where the real scans are, and the marks `slow` and `gpu`."""

import logging
import os
from pathlib import Path

import pytest
import torch
from helpers.scan_fixtures import four_cores, in_child, records, write_nifti, write_series

__all__ = ["four_cores", "in_child", "records", "write_nifti", "write_series"]  # fixtures for all tests

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans (`MEDGENESIS_DATA`, default ../shared/data); skips where it is absent."""
    folder = Path(os.environ.get("MEDGENESIS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}: set MEDGENESIS_DATA")
    return folder


@pytest.fixture(autouse=True)
def own_logging():
    """What a test (a command, a bundle's logging.conf) does to the loggers ends with it."""
    loggers = [logging.root, *(logging.getLogger(name) for name in ("medgenesis", "monai", "ignite"))]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate, logger.disabled) for logger in loggers]
    yield
    for logger, level, handlers, propagate, disabled in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled


@pytest.fixture
def one_thread():
    """One thread for PyTorch: bit-for-bit comparisons, and forks that do not hang."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
