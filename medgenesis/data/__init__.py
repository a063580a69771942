"""From files to samples: datalists, the standard grid, intensity presets, random crops, cached data sets."""

from medgenesis.data.checks import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.classes import check_classes, check_findings, check_known, judged_findings
from medgenesis.data.crop import Crop
from medgenesis.data.crop_criteria import CROP_CRITERIA, AnyCriterion, CropCriterion, ForegroundCriterion, LungCriterion
from medgenesis.data.crops import RandAcceptedCropd, acceptance
from medgenesis.data.datalists import datalist_header, load_datalist, read_datalist, write_datalist
from medgenesis.data.disk_cache import MappedDataset
from medgenesis.data.folders import make_datalist
from medgenesis.data.image_channels import CheckChannelsd, channels_of
from medgenesis.data.intensity import ScaleIntensityPresetd
from medgenesis.data.joined_lists import join_datalists
from medgenesis.data.label_choice import ChosenLabels, choose_labels
from medgenesis.data.label_layers import JoinLabelLayersd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.landmarks import landmarks_of, read_landmarks, write_landmarks
from medgenesis.data.patch_dataset import PatchDataset
from medgenesis.data.pipeline import Preprocessing, preprocessing
from medgenesis.data.sampler import SampleKey, SeededSampler
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.data.screening import load_usable, screen_volumes
from medgenesis.data.shards import shard_folder
from medgenesis.data.splits import check_disjoint
from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.renamed import old_names

__all__ = [
    "CROP_CRITERIA",
    "AnyCriterion",
    "CheckChannelsd",
    "CheckClassesd",
    "CheckLabeld",
    "CheckVolumed",
    "PatchDataset",
    "ChosenLabels",
    "Crop",
    "CropCriterion",
    "ForegroundCriterion",
    "JoinLabelLayersd",
    "LungCriterion",
    "MappedDataset",
    "MergeLabelsd",
    "Preprocessing",
    "RandAcceptedCropd",
    "SampleKey",
    "ScaleIntensityPresetd",
    "ScreenedDataset",
    "SeededSampler",
    "StreamedDataset",
    "acceptance",
    "channels_of",
    "check_classes",
    "check_disjoint",
    "check_findings",
    "check_known",
    "choose_labels",
    "datalist_header",
    "join_datalists",
    "judged_findings",
    "landmarks_of",
    "load_datalist",
    "load_usable",
    "make_datalist",
    "preprocessing",
    "read_datalist",
    "read_landmarks",
    "screen_volumes",
    "shard_folder",
    "write_datalist",
    "write_landmarks",
]

__getattr__ = old_names(__name__)
