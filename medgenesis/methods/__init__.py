"""Published methods, one a file: a module that owns its networks and whose forward returns the loss and its parts.

The contract that the engine relies on: ``method(batch) -> {"loss": scalar, part: scalar, …}``, where `parts` names the
scalars beside the loss; "restored" (B, C, *spatial) is optional and feeds pictures and the collapse guard;
``method.network`` is what is kept for transfer.
"""

from medgenesis.methods.models_genesis import ModelsGenesis
from medgenesis.methods.semantic_genesis import SemanticGenesis
from medgenesis.methods.transvw import TransVW

__all__ = ["ModelsGenesis", "SemanticGenesis", "TransVW"]
