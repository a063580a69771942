"""Kernels of one device: numba on the processor, triton on a GPU; each computes what the torch kernel beside it
does.
"""
