"""Convolutional networks: tensors in, tensors out; no game and no agent is known here.

`nets.model_file` and `nets.anaconda_layout` need numpy and safetensors only; every other module imports torch. This
file imports nothing, so that a command without a network stays fast.
"""
