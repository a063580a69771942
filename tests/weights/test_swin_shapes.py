"""Keys and shapes of SwinUNETR are those that MONAI's own network has."""

import pytest
from monai.networks.nets import SwinUNETR

from medgenesis.weights.swin_shapes import decoder_shapes, encoder_shapes, transformer_shapes


@pytest.mark.parametrize(
    ("channels", "size", "depths", "v2"), [(1, 12, (2, 2, 2, 2), False), (3, 24, (2, 2, 3, 2), True)]
)
def test_as_monai(channels, size, depths, v2):
    heads = (3, 6, 12, 24)
    network = SwinUNETR(channels, 5, feature_size=size, depths=depths, num_heads=heads, use_v2=v2)
    ours = transformer_shapes(channels, size, depths, heads, v2) | encoder_shapes(channels, size)
    ours |= decoder_shapes(size, 5)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in network.state_dict().items()}
