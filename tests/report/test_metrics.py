import numpy as np
import pytest

from medgenesis.report import Report, read_curves


def test_columns_of_numbers_become_curves(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss,val_loss,note\n1,0.5,,first\n2,0.25,0.75,\n4,nan,0.5,x\n")
    curves = read_curves(path)
    assert list(curves) == ["loss", "val_loss"]
    np.testing.assert_array_equal(curves["loss"], [[1, 2, 4], [0.5, 0.25, np.nan]])
    np.testing.assert_array_equal(curves["val_loss"], [[2, 4], [0.75, 0.5]])
    assert "<polyline" in Report("t").curves(curves, "epoch", "loss", "c").render()


def test_a_run_that_has_no_epoch_yet_has_no_curve(tmp_path):
    (tmp_path / "header.csv").write_text("epoch,loss\n")
    (tmp_path / "empty.csv").write_text("")
    assert read_curves(tmp_path / "header.csv") == read_curves(tmp_path / "empty.csv") == {}


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("subject,dice\n1,0.5\n")
    with pytest.raises(ValueError, match="epoch"):
        read_curves(path)
