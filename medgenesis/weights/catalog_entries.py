"""The published models, as data: the entries of ``medgenesis weights list``.

Terms are those of the pages named, as of 2026-11. They are no legal advice: read them at the source.
"""

from typing import Any

_ASU = "ASU GitHub Project licence: academic, non-commercial, revocable; derived weights keep it"
_FORM = "a form on the page"
_HU = "CT in HU, clipped to [-1000, 1000] and scaled to [0, 1]; cubes of 64 x 64 x 32; spacing as it is"
_LUNA = "LUNA16, 623 chest CT"
_CXR14 = "ChestX-ray14, 86 524 radiographs"
_IMAGENET_INPUT = "[0, 1] less ImageNet's mean, divided by its deviation; three equal channels"
_PHOTOGRAPHS = {"input_normalisation": "imagenet"}
_R50: dict[str, Any] = {"backbone": "resnet50", **_PHOTOGRAPHS}
_GENESIS: dict[str, Any] = {"intensity": "ct", "cube_size": [64, 64, 32]}
_SWIN: dict[str, Any] = {"intensity": "ct", "cube_size": [96, 96, 96], "spacing_mm": [1.5, 1.5, 2.0]}
_HF = "https://huggingface.co"
_FB = "https://dl.fbaipublicfiles.com"


def _entry(name: str, title: str, layout: str, files: str, network: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": title, "layout": layout, "files": files.split(), "network": network, **more}


def _genesis(name: str, title: str, layout: str, files: str, network: str, **more: Any) -> dict[str, Any]:
    common = {"learnt_from": _LUNA, "expects": _HU, "terms": _ASU, "commercial": False, "gated": _FORM}
    return _entry(name, title, layout, files, network, **{**common, "settings": _GENESIS, **more})


def _asu_xray(name: str, title: str, layout: str, files: str, network: str, **more: Any) -> dict[str, Any]:
    common = {"learnt_from": _CXR14, "terms": _ASU, "commercial": False, "gated": _FORM}
    return _entry(name, title, layout, files, network, **common, **more)


def _photographs(name: str, title: str, files: str, network: str = "ResNet-50", **more: Any) -> dict[str, Any]:
    common = {"layout": "backbone", "learnt_from": "ImageNet", "expects": _IMAGENET_INPUT, "settings": _R50}
    return _entry(name, title, files=files, network=network, **{**common, **more})


def _torchvision(depth: str, backbone: str, *sha256: str) -> dict[str, Any]:
    """By the first digits of the checksums of its files, newest first, which their names hold."""
    return _photographs(
        f"supervised-{depth}",
        f"torchvision {backbone}, supervised",
        " ".join([*(f"{backbone}-{digits}.pth" for digits in sha256), f"supervised_{depth}*"]),
        backbone,
        terms="BSD-3-Clause (torchvision); ImageNet's own terms",
        commercial=None,
        address=f"https://download.pytorch.org/models/{backbone}-{sha256[0]}.pth",
        digests=tuple(f"sha256:{digits}" for digits in sha256),
        settings={"backbone": backbone, **_PHOTOGRAPHS},
        mark=r"(?:conv1|features\.conv0)\.weight",
    )


def _mimic_chexpert(rate: str) -> dict[str, Any]:
    file = f"mimic-chexpert_lr_{rate}_bs_128_fd_128_qs_65536.pt"
    return _photographs(
        f"mimic-chexpert-lr-{rate}",
        f"CovidPrognosis MoCo, MIMIC-CXR and CheXpert, rate {rate}",
        file,
        "DenseNet-121",
        learnt_from="MIMIC-CXR and CheXpert radiographs",
        expects="histogram equalised, 0 to 255",
        terms="research only, as its page says (code MIT); MIMIC-CXR's and CheXpert's own terms",
        commercial=False,
        address=f"{_FB}/CovidPrognosis/pretrained_models/{file}",
        settings={"backbone": "densenet121", "input_normalisation": "histogram"},
        mark=r"model\.encoder_q\.",
    )


def _moco_cxr(depth: str, backbone: str, file: str) -> dict[str, Any]:
    return _photographs(
        f"moco-cxr-{depth}",
        f"MoCo-CXR {backbone}",
        file,
        backbone,
        learnt_from="CheXpert radiographs, from ImageNet's weights",
        terms="no licence stated; CheXpert's own terms",
        commercial=None,
        address="https://github.com/stanfordmlgroup/MoCo-CXR",
        gated="a link on the page",
        settings={"backbone": backbone, **_PHOTOGRAPHS},
        mark=r"module\.encoder_q\.(?!backbone\.)",
    )


def _voco(name: str, title: str, files: str, learnt: str, **more: Any) -> dict[str, Any]:
    return _entry(
        name,
        title,
        "voco",
        files,
        "SwinUNETR v2, feature size 48 (B), 96 (L) or 192 (H)",
        learnt_from=learnt,
        expects="CT in HU, a window (its program says which) scaled to [0, 1]; cubes of 96; 1.5 mm",
        settings={"cube_size": [96, 96, 96], "spacing_mm": [1.5, 1.5, 1.5]},
        terms="Apache-2.0 (its repository)",
        commercial=True,
        address=f"{_HF}/Luffy503/VoCo",
        **more,
    )


ENTRIES: tuple[dict[str, Any], ...] = (
    _genesis(
        "models-genesis", "Models Genesis", "models-genesis", "Genesis_Chest_CT*.pt", "3D U-Net, 32 channels",
        address="https://github.com/MrGiovanni/ModelsGenesis",
    ),
    _genesis(
        "models-genesis-keras", "Models Genesis, Keras", "keras-unet", "Genesis_Chest_CT*.h5", "3D U-Net of Keras",
        address="https://github.com/MrGiovanni/ModelsGenesis/tree/master/keras",
    ),
    _genesis(
        "semantic-genesis-autoencoder", "Semantic Genesis, auto-encoder, Keras", "keras-unet",
        "*utoencoder*.h5 *AutoEncoder*.h5", "3D U-Net of Keras", address="https://github.com/fhaghighi/SemanticGenesis",
        expects="whole CT volumes resized to 128 x 128 x 64, in [0, 1]", settings={"intensity": "ct"},
    ),
    _genesis(
        "models-genesis-nnunet", "Models Genesis for nnU-Net v1", "nnunet-v1", "genesis_nnunet_luna16_*.model",
        "nnU-Net v1, 5 poolings", address="https://github.com/MrGiovanni/ModelsGenesis/tree/master/competition",
        expects="CT in HU, + 775.8457, divided by 251.9326", settings={"cube_size": [64, 64, 32]},
    ),
    _genesis(
        "semantic-genesis", "Semantic Genesis", "semantic-genesis", "*emantic_genesis*.pt *emantic_Genesis*.pt",
        "3D U-Net and class head", address="https://github.com/fhaghighi/SemanticGenesis",
    ),
    _genesis(
        "transvw", "TransVW", "semantic-genesis", "TransVW*.pt", "3D U-Net and class head", gated="",
        address="https://zenodo.org/record/4625321/files/TransVW_chest_ct.pt?download=1",
    ),
    _asu_xray(
        "caid", "CAiD, U-Net", "caid-unet", "best_checkpoint.pth current_checkpoint.pth checkpoint.pth",
        "U-Net on ResNet-50", address="https://github.com/MR-HosseinzadehTaher/CAiD",
        expects="[0, 1], three equal channels", settings={"backbone": "resnet50", "input_normalisation": "none"},
    ),
    _asu_xray(
        "caid-id", "CAiD, mode id", "backbone", "best_checkpoint.pth current_checkpoint.pth checkpoint.pth",
        "ResNet-50", address="https://github.com/MR-HosseinzadehTaher/CAiD", expects="[0, 1], three equal channels",
        settings={"backbone": "resnet50", "input_normalisation": "none"},
    ),
    _asu_xray(
        "adam", "Adam (Eden)", "backbone", "best_checkpoint.pth last_checkpoint.pth checkpoint.pth", "ResNet-50",
        address="https://github.com/MR-HosseinzadehTaher/Eden", expects=_IMAGENET_INPUT, settings=_R50,
    ),
    _photographs(
        "moco-v2", "MoCo v2", "moco_v2_800ep_pretrain.pth.tar", terms="CC-BY-NC-4.0 (its repository)", commercial=False,
        address=f"{_FB}/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
        mark=r"module\.encoder_q\.(?!backbone\.)", digests=("md5:a04e12f8",),
    ),
    _photographs(
        "pirl", "PIRL (PyContrast)", "PIRL.pth", terms="no licence stated with the weights", commercial=None,
        address="https://www.dropbox.com/sh/87d24jqsl6ra7t2/AADN4jKnvTI0U5oT6hTmQZz8a/PIRL.pth?dl=1",
        mark=r"module\.encoder\.",
    ),
    _photographs(
        "swav", "SwAV", "swav_800ep_pretrain.pth.tar", terms="CC-BY-NC-4.0 (its repository)", commercial=False,
        address=f"{_FB}/deepcluster/swav_800ep_pretrain.pth.tar", mark=r"module\.(?:projection_head|prototypes)",
    ),
    _photographs(
        "byol", "BYOL", "pretrain_res50x1*", layout="byol", terms="Apache-2.0 (its repository)", commercial=True,
        address="https://storage.googleapis.com/deepmind-byol/checkpoints/pretrain_res50x1.pkl",
    ),
    _photographs(
        "simclr-v1", "SimCLR v1, converted", "*simclr*.pth* resnet50-1x.pth ResNet50_1x*.pth*", expects="[0, 1]",
        terms="Apache-2.0 (its repository)", commercial=True, gated="convert ResNet50_1x.zip by simclr-converter",
        address="https://storage.cloud.google.com/simclr-gcs/checkpoints/ResNet50_1x.zip",
        settings={"backbone": "resnet50", "input_normalisation": "none"}, mark=r"conv1\.weight",
    ),
    _torchvision("r18", "resnet18", "f37072fd", "5c106cde"),
    _torchvision("r50", "resnet50", "0676ba61", "19c8e357"),  # IMAGENET1K_V1; V2 is another training
    _torchvision("d121", "densenet121", "a639ec97"),
    _mimic_chexpert("0.01"),
    _mimic_chexpert("0.1"),
    _mimic_chexpert("1.0"),
    _moco_cxr("r18", "resnet18", "r8w-00001.pth.tar"),
    _moco_cxr("d121", "densenet121", "d1w-00001.pth.tar"),
    _entry(
        "openmind", "OpenMind (nnssl): MAE, S3D, VoCo, SimCLR, …", "nnssl", "*OpenMind*",
        "ResEnc-L of nnU-Net",
        learnt_from="OpenMind, 114 000 MR volumes of heads", expects="z-scored MR volumes of 1 mm; cubes of 160",
        terms="CC-BY-4.0", commercial=True, address=f"{_HF}/AnonRes/ResEncL-OpenMind-MAE",
    ),
    _entry(
        "nnfoundation-cnn", "nnFoundation CNN (nnssl)", "nnssl", "*nnFoundation*.pth", "ResEnc-L of nnU-Net",
        learnt_from="2.1 million CT, MR and PET volumes", expects="as its adaptation plan says",
        terms="CC-BY-SA-4.0: derived weights keep it", commercial=True, address=f"{_HF}/MIC-DKFZ/nnFoundationCNN",
    ),
    _entry(
        "monai-swin-vit", "MONAI Swin UNETR, self-supervised", "swin-vit", "model_swinvit.pt",
        "SwinUNETR, feature size 48",
        learnt_from="5 050 CT", expects="CT, [-1000, 1000] HU scaled to [0, 1]; 1.5 x 1.5 x 2 mm; cubes of 96",
        terms="Apache-2.0 (its repository)", commercial=True, settings=_SWIN,
        address="https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/model_swinvit.pt",
    ),
    _voco(
        "voco", "VoCo, self-supervised (B, L, H)", "VoCo_?_SSL_head.pt VoCo_10k.pt", "PreCT-160K, 160 000 CT",
        digests=(
            "md5:f80c4da2f81d700bdae3df188f2057eb", "md5:795095d1d43ef3808ec4c41798310136",
            "md5:76f95a474736b60bf5b8aad94643744d",
        ),
    ),
    _voco(
        "vocomni", "VoComni, supervised too (B, L, H)", "VoComni_?.pt", "PreCT-160K, 20 000 with labels",
        mark=r"decoder5\.",
    ),
)  # fmt: skip
