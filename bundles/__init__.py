"""One MONAI Bundle a released model: configurations only, no code."""
