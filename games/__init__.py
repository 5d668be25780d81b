"""Games: rules kernels, notations and Gymnasium environments. Knows no torch, no network, no agent."""
