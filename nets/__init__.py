"""Convolutional networks: tensors in, tensors out; no game and no agent is known here.

`nets.model_file`, `nets.anaconda_layout` and `nets.regulariser_config` need numpy and safetensors at the most; every
other module imports torch. This file imports nothing, so that a command without a network stays fast.
"""
