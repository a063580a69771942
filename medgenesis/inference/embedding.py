"""One feature vector a volume, from a frozen encoder."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer, SlidingWindowSplitter
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from medgenesis.data.checks import check_answers
from medgenesis.data.shards import Shard, parse_shard
from medgenesis.inference.embedded_shards import embed_part, joined_parts
from medgenesis.inference.written_for import claim_tables
from medgenesis.io.naming import names_for, volume_name
from medgenesis.networks import global_average_pool, network_parts
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

_BESIDE = ("separability.csv", "reuse.csv")  # what `embed` writes of the same images


@torch.no_grad()
def embed_volume(
    network: nn.Module,
    volume: Tensor,
    cube_size: Sequence[int] | Inferer,
    batch_size: int = 4,
    pool: Callable[[Any], Tensor] = global_average_pool,
) -> np.ndarray:
    """The mean over all windows of the encoder's last feature map: a vector (channels,).

    Args:
        network: one whose encoder `network_parts` knows; used in evaluation mode, on the device of its weights.
        volume: (C, *spatial), intensities as in pre-training.
        cube_size: voxels of a window; windows do not overlap, those at the far borders are padded with 0. Or an inferer
            that makes one vector of many, `SlabInferer`, for a network of slabs.
        batch_size: windows at a time.
        pool: from what the encoder returns to vectors (B, channels).

    Raises:
        VolumeError: a vector that is not finite.
    """
    device = next(network.parameters()).device
    vectors = []
    with eval_mode(network):
        encoder = network_parts(network).encoder
        if isinstance(cube_size, Inferer):
            vectors.append(cube_size(volume[None].to(device), lambda slabs: pool(encoder(slabs))))
        else:
            windows = [window for window, _ in SlidingWindowSplitter(tuple(cube_size), pad_value=0)(volume[None])]
            for start in range(0, len(windows), batch_size):
                batch = torch.cat(windows[start : start + batch_size]).to(device)
                vectors.append(pool(encoder(torch.as_tensor(batch))))
    vector = torch.cat(vectors).mean(dim=0).float().cpu().numpy()
    check_answers(vector, volume_name(volume))
    return vector


def embed_volumes(
    network: nn.Module,
    volumes: Iterable[dict],
    cube_size: Sequence[int] | Inferer,
    path: str | Path,
    shard: str | None = None,
) -> np.ndarray:
    """Embed every volume of a data set and write a table: its name, then one column a feature.

    Args:
        network: see `embed_volume`.
        volumes: items with `image`, a MetaTensor (C, *spatial): a data set, or `StreamedDataset`. Names are those of
            `OutputNames`, all different.
        cube_size: see `embed_volume`.
        path: the CSV file. One that is there and of other images is kept, in the folder `earlier` beside it, with the
            `separability.csv` and `reuse.csv` of those.
        shard: "2/4" embeds the second of four parts of a `StreamedDataset`, into the folder `shards` beside the table;
            "merge" writes the table of all parts, byte for byte that of the whole list; None embeds the whole list.

    Returns:
        The vectors, (volumes, channels); of a part none, (0, 0).

    Raises:
        ValueError, DatalistError, VolumeError: as `embed_part`, `joined_parts` and `embed_volume`.
    """
    wanted, folder, known = parse_shard(shard), Path(path).parent, names_for(volumes)
    if isinstance(wanted, Shard):
        embed_part(network, volumes, cube_size, folder, wanted, lambda image: embed_volume(network, image, cube_size))
        return np.empty((0, 0), np.float32)
    if wanted is None:
        names, rows = [], []
        for item in volumes:
            names.append(known.of(item))
            rows.append(embed_volume(network, item["image"], cube_size))
        vectors = np.stack(rows)
    else:
        names, vectors = joined_parts(network, volumes, cube_size, folder)
    claim_tables(folder, [Path(path).name, *_BESIDE], known)
    columns = ["image", *(f"f{i}" for i in range(vectors.shape[1]))]
    write_table(path, [[name, *row] for name, row in zip(names, vectors, strict=True)], columns)
    logger.info("%d volumes, %d features each", len(names), vectors.shape[1])
    logger.info("written: %s", path)
    return vectors
