"""Networks applied to whole images: slice by slice, restored, embedded, classified."""

from medgenesis.inference.classification import classify_volumes
from medgenesis.inference.embedded_shards import check_shard
from medgenesis.inference.embedding import embed_volume, embed_volumes
from medgenesis.inference.finite_answers import CheckAnswersd
from medgenesis.inference.label_map_inferer import LabelMapInferer
from medgenesis.inference.labels_on_own_grid import LabelsOnOwnGridd
from medgenesis.inference.own_grid import OnOwnGridd
from medgenesis.inference.prompted import PromptedNetwork
from medgenesis.inference.prompts import choose_prompts
from medgenesis.inference.restore import restoration_error, restore_volume, restore_volumes
from medgenesis.inference.result_page import ShowLabelMapsd
from medgenesis.inference.save_label_maps import SaveLabelMapsd
from medgenesis.inference.slab_inferer import SlabInferer
from medgenesis.inference.written_for import claim_tables
from medgenesis.networks.voxel_probe import FeatureLevels, VoxelProbe, fit_voxel_probe

__all__ = [
    "CheckAnswersd",
    "FeatureLevels",
    "LabelMapInferer",
    "LabelsOnOwnGridd",
    "OnOwnGridd",
    "PromptedNetwork",
    "SaveLabelMapsd",
    "ShowLabelMapsd",
    "SlabInferer",
    "VoxelProbe",
    "claim_tables",
    "check_shard",
    "choose_prompts",
    "classify_volumes",
    "embed_volume",
    "embed_volumes",
    "fit_voxel_probe",
    "restoration_error",
    "restore_volume",
    "restore_volumes",
]
