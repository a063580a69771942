"""Kernels for a GPU; importing one needs triton."""
