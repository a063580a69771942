"""The clinician's loop, with MONAI Label's own server and client: `make test-label` has an environment with both."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

import requests
from helpers.label_server import START_SECONDS, Server, refused
from helpers.stored_studies import STORED_AS, stored, write

from medgenesis.data.pipeline import preprocessing
from medgenesis.datasets.phantom import write_phantoms

pytestmark = pytest.mark.timeout(2 * START_SECONDS)  # each process that starts imports for half a minute or more

MODEL = "models_genesis_ct"
CLASSES = {"lungs": 1, "liver": 2}
STORED = {1: (6,), 2: (1, 2, 7)}  # as 3D Slicer would number them if the liver was drawn first -> of the phantom
INFO = [{"name": "Liver", "idx": 1}, {"name": "lungs", "idx": 2}]
SMALL = ["--weights", "scratch", "--overlay", "quick", "--set", "width=4"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folder with studies, label maps and an app's folder; two phantoms, the first stored in several ways."""
    root = tmp_path_factory.mktemp("label")
    write_phantoms(root / "phantoms", 3, seed=5, shape=(40, 40, 32), dicom=True)
    studies = root / "studies"
    studies.mkdir()
    for name in ("000", "001", "002"):
        image = nib.load(root / "phantoms" / "images" / f"phantom_{name}.nii.gz")
        if name != "000":
            write(image, studies / f"case_{name}.nii.gz")
            continue
        for how, suffix in STORED_AS.items():
            write(stored(image, how), studies / f"{how}{suffix}")
    series = min((root / "phantoms" / "dicom").iterdir())  # of the first
    series.rename(studies / "DOE^JANE")
    (studies / "broken.nii.gz").write_bytes(b"no image at all")
    (root / "lps").mkdir()  # where the server is started; named like a study, for which MONAI Label would take it
    for name in ("001", "002"):
        image = nib.load(root / "phantoms" / "labels" / f"phantom_{name}.nii.gz")
        truth = np.asarray(image.dataobj)
        drawn = sum(value * np.isin(truth, own) for value, own in STORED.items()).astype(np.uint8)
        nib.save(nib.Nifti1Image(drawn, image.affine), root / f"drawn_{name}.nii.gz")
    return root


def _start(root):
    return Server(root, MODEL, CLASSES, SMALL)


@pytest.fixture(scope="module")
def server(world):
    """One server for the steps of the loop, which build on each other."""
    running = _start(world)
    yield running
    running.kill()


def _dice(server, name):
    path, _ = server.infer(f"case_{name}", result_extension=".nii.gz")
    found = np.asarray(nib.load(path).dataobj)
    truth = np.asarray(nib.load(server.root / "phantoms" / "labels" / f"phantom_{name}.nii.gz").dataobj)
    both = [(found == CLASSES["lungs"], np.isin(truth, (1, 2, 7))), (found == CLASSES["liver"], truth == 6)]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in both]))


def test_1_what_the_server_says(server):
    info = server.client.info()
    assert info["labels"] == list(CLASSES)
    assert set(info["models"]) == {"scribbles"}  # nothing is trained or labelled: no model is offered
    assert set(info["trainers"]) == {MODEL}
    names = set(server.client.datastore()["objects"])
    assert {"case_001", "case_002", "broken", *STORED_AS} <= names
    (series,) = [name for name in names if name.startswith("series_")]
    assert not any("DOE" in name for name in names)
    assert nib.load(server.root / "app" / "studies" / f"{series}.nii.gz").shape == (40, 40, 32)
    for strategy in ("first", "random", "typical", "coverage"):
        sample = server.client.next_sample(strategy, {})
        assert sample["id"] in names and Path(sample["path"]).exists()


def test_1_it_answers_to_no_other_name(server):
    asked = f"http://127.0.0.1:{server.port}/info/"
    assert requests.get(asked, timeout=60).ok
    answer = requests.get(asked, headers={"Host": "evil.example"}, timeout=60)
    assert answer.status_code == 403 and "must be 127.0.0.1 or ::1 or localhost" in answer.json()["detail"]


def test_2_what_cannot_work_is_said(server, tmp_path):
    assert "must be trained before it segments" in refused(server.infer, "case_001")
    assert "uncertain: must have a model" in refused(server.client.next_sample, "uncertain", {})
    assert "draft: must have a labelled study" in refused(server.client.infer, "draft", "case_001", {})
    assert "labels: must be saved before training" in "\n".join(server.train()["details"])
    assert "must be a study of the server" in refused(server.infer, "nobody")
    assert "no model 'nothing'" in refused(server.client.infer, "nothing", "case_001", {})
    drawn = nib.load(server.root / "drawn_001.nii.gz")
    save = server.client.save_label
    nib.save(nib.Nifti1Image(np.asarray(drawn.dataobj)[:-2], drawn.affine), tmp_path / "grid.nii.gz")
    assert "must lie on the grid" in refused(save, "case_001", str(tmp_path / "grid.nii.gz"), "", {"label_info": INFO})
    nib.save(nib.Nifti1Image(np.asarray(drawn.dataobj) * 3, drawn.affine), tmp_path / "value.nii.gz")
    assert "labels must be of 1 (lungs), 2 (liver); found 3, 6" in refused(
        save, "case_001", str(tmp_path / "value.nii.gz"), "", {}
    )
    spleen = [{"name": "spleen", "idx": 1}, {"name": "lungs", "idx": 2}]
    assert "found 1 (spleen)" in refused(
        save, "case_001", str(server.root / "drawn_001.nii.gz"), "", {"label_info": spleen}
    )
    assert "must be a study" in refused(save, "nobody", str(server.root / "drawn_001.nii.gz"), "", {})
    assert server.client.info()["datastore"]["completed"] == 0


def test_3_draw_save_train(server):
    for name in ("001", "002"):
        drawn = str(server.root / f"drawn_{name}.nii.gz")
        server.client.save_label(f"case_{name}", drawn, "", {"label_info": INFO})
        back = server.client.download_label(f"case_{name}", "final")
        np.testing.assert_array_equal(nib.load(back).get_fdata(), nib.load(drawn).get_fdata())
    assert set(server.client.info()["models"]) == {"draft", "scribbles"}
    path, said = server.client.infer("draft", "lps", {"result_extension": ".nii.gz"})
    assert nib.load(path).shape == (40, 40, 32) and "draft from 2 labelled studies" in said["draft"]
    # one that was put there by hand, and cannot be used
    (server.root / "app" / "studies" / "labels" / "final" / "oblique.nii.gz").write_bytes(b"no label")
    first = server.train(max_epochs=1)
    assert first["status"] == "DONE", first["details"]
    stats = server.client.info()["train_stats"][MODEL]
    assert stats["studies"] == 2 and set(stats["left_out"]) == {"oblique"}
    before = np.nan_to_num(_dice(server, "002"))
    second = server.train(max_epochs=80)
    assert second["status"] == "DONE", second["details"]
    after = _dice(server, "002")
    assert after > max(before, 0.5), (before, after)


def test_4_every_way_of_storing_gives_the_same_answer(server):
    turn = preprocessing(intensity=None)
    answers = {}
    (series,) = [name for name in server.client.datastore()["objects"] if name.startswith("series_")]
    for how in [*STORED_AS, series]:
        for extension in (".nrrd", ".nii.gz"):
            path, said = server.infer(how, result_extension=extension)
            assert list(said["label_names"]) == [name for name in CLASSES if name in said["label_names"]]
            study = server.root / "app" / "studies" / f"{how}{STORED_AS.get(how, '.nii.gz')}"
            asked, answer = turn({"image": str(study)})["image"], turn({"image": path})["image"]
            assert answer.shape == asked.shape
            np.testing.assert_allclose(np.asarray(answer.affine), np.asarray(asked.affine), atol=1e-3)
            answers[how, extension] = answer.numpy()
    reference = answers["lps", ".nii.gz"]
    assert set(np.unique(reference)) <= {0, 1, 2} and reference.any()
    for (how, _), answer in answers.items():
        if how != series:  # whose values are rounded in another way
            np.testing.assert_array_equal(answer, reference, err_msg=how)
    assert (answers[series, ".nrrd"] != reference).mean() < 0.01
    plain, _ = server.infer("ras")
    assert plain.endswith(".nrrd") and sitk.ReadImage(plain).GetPixelID() == sitk.sitkUInt8


def test_5_named_segments_with_colours(server):
    path, said = server.infer("lps", result_extension=".seg.nrrd")
    image = sitk.ReadImage(path)
    names = [image.GetMetaData(f"Segment{i}_Name") for i in range(2)]
    assert names == list(CLASSES) and image.GetMetaData("Segment0_Color")
    assert image.GetNumberOfComponentsPerPixel() == 2
    assert said["label_colors"]["lungs"] == [230, 159, 0]


def test_5_dicom_in_gives_dicom_seg_out(server):
    (series,) = [name for name in server.client.datastore()["objects"] if name.startswith("series_")]
    path, said = server.infer(series, result_extension=".dcm")
    data = pydicom.dcmread(path)
    assert data.Modality == "SEG" and [one.SegmentLabel for one in data.SegmentSequence] == list(said["label_names"])
    slices = [pydicom.dcmread(file) for file in (server.root / "studies" / "DOE^JANE").iterdir()]
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    places = {round(float(one.ImagePositionPatient[2]), 3): one for one in slices}  # NIfTI holds single precision
    plain = nib.load(server.infer(series, result_extension=".nii.gz")[0])
    values, inverse = np.asarray(plain.dataobj), np.linalg.inv(np.diag([-1, -1, 1, 1]) @ plain.affine)
    found, frames = np.zeros_like(values), data.pixel_array
    for frame, about in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        place = about.PlanePositionSequence[0].ImagePositionPatient
        height = round(float(place[2]), 3)
        assert height in places
        number = about.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rows, columns = np.nonzero(frame)
        spacing = places[height].PixelSpacing
        world = np.stack([place[0] + columns * spacing[1], place[1] + rows * spacing[0]]).astype(float)
        world = np.concatenate([world, np.full((1, len(rows)), float(place[2])), np.ones((1, len(rows)))])
        found[tuple(np.rint((inverse @ world)[:3]).astype(int))] = list(said["label_names"].values())[number - 1]
    np.testing.assert_array_equal(found, values)
    assert "must be asked of studies that are DICOM series" in refused(
        lambda: server.infer("lps", result_extension=".dcm")
    )


def test_6_two_clients_at_once(server):
    def ask(image):
        return np.asarray(nib.load(server.infer(image, result_extension=".nii.gz")[0]).dataobj)

    names = ["lps", "case_001", "lps", "case_002"]
    alone = {name: ask(name) for name in set(names)}
    assert not any((alone[a] == alone[b]).all() for a, b in combinations(alone, 2))  # so that swapped ones are seen
    with ThreadPoolExecutor(len(names)) as clients:
        for name, found in zip(names, clients.map(ask, names), strict=True):
            np.testing.assert_array_equal(found, alone[name], err_msg=name)


def test_7_a_broken_study_is_named_and_the_server_stays(server):
    assert "broken.nii.gz" in refused(server.infer, "broken")
    assert "result_extension: must be" in refused(lambda: server.infer("lps", result_extension=".xyz"))
    assert server.client.info()["labels"] == list(CLASSES)


def test_7_a_full_disk_is_said_and_the_server_stays(server):
    """The server's process may write files of 100 bytes: to it, that is a disk with so much space left."""
    import psutil  # of the label environment

    process, label = psutil.Process(server.process.pid), str(server.root / "drawn_001.nii.gz")
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (100, before[1]))
    try:
        said = refused(server.client.save_label, "case_001", label, "", {"label_info": INFO})
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)
    assert "422" in said and "File too large" in said, said
    server.client.save_label("case_001", label, "", {"label_info": INFO})
    kept = server.client.download_label("case_001", "final")
    np.testing.assert_array_equal(nib.load(kept).get_fdata(), nib.load(label).get_fdata())


def test_8_scribbles_clicks_and_doubt(server):
    path, said = server.infer("lps", result_extension=".nii.gz")
    image = nib.load(server.root / "app" / "studies" / "lps.nii.gz")
    truth = np.asarray(nib.load(server.root / "phantoms" / "labels" / "phantom_000.nii.gz").dataobj) == 6
    marks = np.zeros(truth.shape, np.uint8)
    inside, outside = np.argwhere(truth), np.argwhere(~truth)
    marks[tuple(inside[:: len(inside) // 20].T)], marks[tuple(outside[:: len(outside) // 200].T)] = 4, 3
    scribbles = server.root / "scribbles.nii.gz"
    nib.save(nib.Nifti1Image(marks, image.affine), scribbles)
    params = {"result_extension": ".nii.gz", "structure": "liver"}
    cut, said = server.client.infer("scribbles", "lps", params, label_in=str(scribbles))
    found = np.asarray(nib.load(cut).dataobj)
    assert list(said["label_names"]) == ["liver"] and found[marks == 4].all() and not found[marks == 3].any()
    model = np.asarray(nib.load(path).dataobj) == CLASSES["liver"]
    dice = [2 * (one & truth).sum() / (one.sum() + truth.sum()) for one in (model, found.astype(bool))]
    assert dice[1] > dice[0] - 0.02, dice
    missed = np.argwhere(truth & ~model)[:3].tolist() or inside[:3].tolist()
    path, said = server.client.infer("clicks", "lps", {"result_extension": ".nii.gz", "liver": missed})
    corrected = np.asarray(nib.load(path).dataobj) == CLASSES["liver"]
    assert corrected[tuple(np.transpose(missed))].all() and corrected.sum() > model.sum()
    assert "clicks: must lie in the image" in refused(
        lambda: server.client.infer("clicks", "lps", {"liver": [[400, 0, 0]]})
    )
    assert "liver: clicks must be lists of voxels" in refused(
        lambda: server.client.infer("clicks", "lps", {"liver": "here"})
    )
    assert "scribbles: must come" in refused(server.client.infer, "scribbles", "lps", params)
    sample = server.client.next_sample("uncertain", {})
    assert sample["id"] not in ("case_001", "case_002", "broken") and 0 <= sample["weight"] <= 1


def test_9_killed_in_training_and_started_again(server, world):
    server.client.train_start(MODEL, {"max_epochs": 5000})
    trainings = world / "app" / "trainings"
    model = trainings / f"{max(int(path.name) for path in trainings.iterdir() if path.is_dir()) + 1:04d}" / "model.pt"
    began = time.monotonic()
    while not model.exists() and time.monotonic() < began + START_SECONDS:
        time.sleep(0.5)
    shown = server.infer("lps")  # the model before: the one that is being trained shows nothing yet
    assert shown[1]["label_names"]
    assert model.exists()
    server.kill()
    again = _start(world)
    try:
        assert set(again.client.info()["models"]) == {MODEL, "clicks", "draft", "scribbles"}
        assert set(again.client.datastore()["objects"]["case_001"]["labels"]) == {"final"}
        assert again.infer("lps")[0]
        status = again.train(max_epochs=2, start="last")
        assert status["status"] == "DONE", status["details"]
        assert not (world / "studies" / "labels").exists()  # the user's own folder is only read
    finally:
        again.kill()
