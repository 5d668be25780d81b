"""Convolutional networks: tensors in, tensors out; no game and no agent is known here.

`model_file`, `spec`, `anaconda_layout`, `regulariser_config` and the numba kernels (`matrix_kernels`,
`winograd_kernels`, `winograd_gradients`) import no torch; all other modules do. This file imports nothing, so that a
command without a network stays fast.
"""
